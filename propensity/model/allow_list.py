"""The allow-list: what a pickle may name, and what it may do with each name.

A pickle is a program. Each name on this list was reviewed for the use it has here: nothing that a file
chooses, arguments, state or data, makes it execute code, import a module or open a file. The three uses are
the three that pickles of fitted estimators make of names:

- `ESTIMATORS` and `PARTS`: classes whose instances are created without arguments, then given a state. Their
  constructors never run.
- `CALLED`: what is called with arguments, while the pickle is loaded. `stand_ins.py` checks the arguments
  where that matters.
- `HELD`: what an estimator keeps as a parameter or an attribute, such as a metric, and may call while it
  predicts. Loading calls none of them.

Not on the list, so that nobody adds them: whatever takes a function and calls it at once (`functools.reduce`,
`map`), finds an object by its name (`getattr`, `operator`), opens what it is told to (`numpy.load`,
`joblib.Memory`), or executes text (`scipy.stats` distributions, when they are restored). `HINTS` tells their
users the way out.

Who has own classes writes `module.Name` lines into a file, and names it in `PROPENSITY_ALLOW`.
"""

from __future__ import annotations

import os
from enum import Flag, auto
from functools import cache
from pathlib import Path

VARIABLE = "PROPENSITY_ALLOW"

ESTIMATORS = {
    "sklearn.calibration": "CalibratedClassifierCV",
    "sklearn.cluster._affinity_propagation": "AffinityPropagation",
    "sklearn.cluster._agglomerative": "AgglomerativeClustering FeatureAgglomeration",
    "sklearn.cluster._bicluster": "SpectralBiclustering SpectralCoclustering",
    "sklearn.cluster._birch": "Birch",
    "sklearn.cluster._bisect_k_means": "BisectingKMeans",
    "sklearn.cluster._dbscan": "DBSCAN",
    "sklearn.cluster._hdbscan.hdbscan": "HDBSCAN",
    "sklearn.cluster._kmeans": "KMeans MiniBatchKMeans",
    "sklearn.cluster._mean_shift": "MeanShift",
    "sklearn.cluster._optics": "OPTICS",
    "sklearn.cluster._spectral": "SpectralClustering",
    "sklearn.compose._column_transformer": "ColumnTransformer",
    "sklearn.compose._target": "TransformedTargetRegressor",
    "sklearn.covariance._elliptic_envelope": "EllipticEnvelope",
    "sklearn.covariance._empirical_covariance": "EmpiricalCovariance",
    "sklearn.covariance._graph_lasso": "GraphicalLasso GraphicalLassoCV",
    "sklearn.covariance._robust_covariance": "MinCovDet",
    "sklearn.covariance._shrunk_covariance": "LedoitWolf OAS ShrunkCovariance",
    "sklearn.cross_decomposition._pls": "CCA PLSCanonical PLSRegression PLSSVD",
    "sklearn.decomposition._dict_learning": "DictionaryLearning MiniBatchDictionaryLearning SparseCoder",
    "sklearn.decomposition._factor_analysis": "FactorAnalysis",
    "sklearn.decomposition._fastica": "FastICA",
    "sklearn.decomposition._incremental_pca": "IncrementalPCA",
    "sklearn.decomposition._kernel_pca": "KernelPCA",
    "sklearn.decomposition._lda": "LatentDirichletAllocation",
    "sklearn.decomposition._nmf": "MiniBatchNMF NMF",
    "sklearn.decomposition._pca": "PCA",
    "sklearn.decomposition._sparse_pca": "MiniBatchSparsePCA SparsePCA",
    "sklearn.decomposition._truncated_svd": "TruncatedSVD",
    "sklearn.discriminant_analysis": "LinearDiscriminantAnalysis QuadraticDiscriminantAnalysis",
    "sklearn.dummy": "DummyClassifier DummyRegressor",
    "sklearn.ensemble._bagging": "BaggingClassifier BaggingRegressor",
    "sklearn.ensemble._forest": (
        "ExtraTreesClassifier ExtraTreesRegressor RandomForestClassifier RandomForestRegressor "
        "RandomTreesEmbedding"
    ),
    "sklearn.ensemble._gb": "GradientBoostingClassifier GradientBoostingRegressor",
    "sklearn.ensemble._hist_gradient_boosting.gradient_boosting": (
        "HistGradientBoostingClassifier HistGradientBoostingRegressor"
    ),
    "sklearn.ensemble._iforest": "IsolationForest",
    "sklearn.ensemble._stacking": "StackingClassifier StackingRegressor",
    "sklearn.ensemble._voting": "VotingClassifier VotingRegressor",
    "sklearn.ensemble._weight_boosting": "AdaBoostClassifier AdaBoostRegressor",
    "sklearn.feature_extraction._dict_vectorizer": "DictVectorizer",
    "sklearn.feature_extraction._hash": "FeatureHasher",
    "sklearn.feature_extraction.image": "PatchExtractor",
    "sklearn.feature_extraction.text": "CountVectorizer HashingVectorizer TfidfTransformer TfidfVectorizer",
    "sklearn.feature_selection._from_model": "SelectFromModel",
    "sklearn.feature_selection._rfe": "RFE RFECV",
    "sklearn.feature_selection._sequential": "SequentialFeatureSelector",
    "sklearn.feature_selection._univariate_selection": (
        "GenericUnivariateSelect SelectFdr SelectFpr SelectFwe SelectKBest SelectPercentile"
    ),
    "sklearn.feature_selection._variance_threshold": "VarianceThreshold",
    "sklearn.frozen._frozen": "FrozenEstimator",
    "sklearn.gaussian_process._gpc": "GaussianProcessClassifier",
    "sklearn.gaussian_process._gpr": "GaussianProcessRegressor",
    "sklearn.impute._base": "MissingIndicator SimpleImputer",
    "sklearn.impute._iterative": "IterativeImputer",
    "sklearn.impute._knn": "KNNImputer",
    "sklearn.isotonic": "IsotonicRegression",
    "sklearn.kernel_approximation": (
        "AdditiveChi2Sampler Nystroem PolynomialCountSketch RBFSampler SkewedChi2Sampler"
    ),
    "sklearn.kernel_ridge": "KernelRidge",
    "sklearn.linear_model._base": "LinearRegression",
    "sklearn.linear_model._bayes": "ARDRegression BayesianRidge",
    "sklearn.linear_model._coordinate_descent": (
        "ElasticNet ElasticNetCV Lasso LassoCV MultiTaskElasticNet MultiTaskElasticNetCV MultiTaskLasso "
        "MultiTaskLassoCV"
    ),
    "sklearn.linear_model._glm.glm": "GammaRegressor PoissonRegressor TweedieRegressor",
    "sklearn.linear_model._huber": "HuberRegressor",
    "sklearn.linear_model._least_angle": "Lars LarsCV LassoLars LassoLarsCV LassoLarsIC",
    "sklearn.linear_model._logistic": "LogisticRegression LogisticRegressionCV",
    "sklearn.linear_model._omp": "OrthogonalMatchingPursuit OrthogonalMatchingPursuitCV",
    "sklearn.linear_model._passive_aggressive": "PassiveAggressiveClassifier PassiveAggressiveRegressor",
    "sklearn.linear_model._perceptron": "Perceptron",
    "sklearn.linear_model._quantile": "QuantileRegressor",
    "sklearn.linear_model._ransac": "RANSACRegressor",
    "sklearn.linear_model._ridge": "Ridge RidgeCV RidgeClassifier RidgeClassifierCV",
    "sklearn.linear_model._stochastic_gradient": "SGDClassifier SGDOneClassSVM SGDRegressor",
    "sklearn.linear_model._theil_sen": "TheilSenRegressor",
    "sklearn.manifold._classical_mds": "ClassicalMDS",
    "sklearn.manifold._isomap": "Isomap",
    "sklearn.manifold._locally_linear": "LocallyLinearEmbedding",
    "sklearn.manifold._mds": "MDS",
    "sklearn.manifold._spectral_embedding": "SpectralEmbedding",
    "sklearn.manifold._t_sne": "TSNE",
    "sklearn.mixture._bayesian_mixture": "BayesianGaussianMixture",
    "sklearn.mixture._gaussian_mixture": "GaussianMixture",
    "sklearn.model_selection._classification_threshold": (
        "FixedThresholdClassifier TunedThresholdClassifierCV"
    ),
    "sklearn.model_selection._search": "GridSearchCV RandomizedSearchCV",
    "sklearn.model_selection._search_successive_halving": "HalvingGridSearchCV HalvingRandomSearchCV",
    "sklearn.multiclass": "OneVsOneClassifier OneVsRestClassifier OutputCodeClassifier",
    "sklearn.multioutput": "ClassifierChain MultiOutputClassifier MultiOutputRegressor RegressorChain",
    "sklearn.naive_bayes": "BernoulliNB CategoricalNB ComplementNB GaussianNB MultinomialNB",
    "sklearn.neighbors._classification": "KNeighborsClassifier RadiusNeighborsClassifier",
    "sklearn.neighbors._graph": "KNeighborsTransformer RadiusNeighborsTransformer",
    "sklearn.neighbors._kde": "KernelDensity",
    "sklearn.neighbors._lof": "LocalOutlierFactor",
    "sklearn.neighbors._nca": "NeighborhoodComponentsAnalysis",
    "sklearn.neighbors._nearest_centroid": "NearestCentroid",
    "sklearn.neighbors._regression": "KNeighborsRegressor RadiusNeighborsRegressor",
    "sklearn.neighbors._unsupervised": "NearestNeighbors",
    "sklearn.neural_network._multilayer_perceptron": "MLPClassifier MLPRegressor",
    "sklearn.neural_network._rbm": "BernoulliRBM",
    "sklearn.pipeline": "FeatureUnion Pipeline",
    "sklearn.preprocessing._data": (
        "Binarizer KernelCenterer MaxAbsScaler MinMaxScaler Normalizer PowerTransformer "
        "QuantileTransformer RobustScaler StandardScaler"
    ),
    "sklearn.preprocessing._discretization": "KBinsDiscretizer",
    "sklearn.preprocessing._encoders": "OneHotEncoder OrdinalEncoder",
    "sklearn.preprocessing._function_transformer": "FunctionTransformer",
    "sklearn.preprocessing._label": "LabelBinarizer LabelEncoder MultiLabelBinarizer",
    "sklearn.preprocessing._polynomial": "PolynomialFeatures SplineTransformer",
    "sklearn.preprocessing._target_encoder": "TargetEncoder",
    "sklearn.random_projection": "GaussianRandomProjection SparseRandomProjection",
    "sklearn.semi_supervised._label_propagation": "LabelPropagation LabelSpreading",
    "sklearn.semi_supervised._self_training": "SelfTrainingClassifier",
    "sklearn.svm._classes": "LinearSVC LinearSVR NuSVC NuSVR OneClassSVM SVC SVR",
    "sklearn.tree._classes": (
        "DecisionTreeClassifier DecisionTreeRegressor ExtraTreeClassifier ExtraTreeRegressor"
    ),
}
"""Module: the estimators and transformers that scikit-learn publishes; created, then given a state."""

PARTS = {
    # What fitted estimators keep inside them.
    "sklearn.calibration": "_CalibratedClassifier _SigmoidCalibration _TemperatureScaling",
    "sklearn.cluster._birch": "_CFNode _CFSubcluster",
    "sklearn.cluster._bisect_k_means": "_BisectingTree",
    "sklearn.gaussian_process._gpc": "_BinaryGaussianProcessClassifierLaplace",
    "sklearn.multiclass": "_ConstantPredictor",
    "scipy.interpolate._bsplines": "BSpline",
    "scipy.sparse._csc": "csc_array csc_matrix",
    "scipy.sparse._csr": "csr_array csr_matrix",
    "sklearn._loss.link": "HalfLogitLink IdentityLink Interval LogLink LogitLink MultinomialLogit",
    "sklearn._loss.loss": (
        "AbsoluteError ExponentialLoss HalfBinomialLoss HalfBinomialLossArrayAPI HalfGammaLoss "
        "HalfMultinomialLoss HalfMultinomialLossArrayAPI HalfPoissonLoss HalfPoissonLossArrayAPI "
        "HalfSquaredError HalfTweedieLoss HalfTweedieLossIdentity HuberLoss PinballLoss"
    ),
    "sklearn.compose._column_transformer": "make_column_selector",
    "sklearn.ensemble._hist_gradient_boosting.binning": "_BinMapper",
    "sklearn.ensemble._hist_gradient_boosting.predictor": "TreePredictor",
    "sklearn.gaussian_process.kernels": (
        "CompoundKernel ConstantKernel DotProduct ExpSineSquared Exponentiation Matern PairwiseKernel "
        "Product RBF RationalQuadratic Sum WhiteKernel"
    ),
    "sklearn.metrics._scorer": "_CurveScorer _MultimetricScorer _PassthroughScorer _Scorer",
    "sklearn.model_selection._split": (
        "GroupKFold GroupShuffleSplit KFold LeaveOneGroupOut LeaveOneOut LeavePGroupsOut LeavePOut "
        "PredefinedSplit RepeatedKFold RepeatedStratifiedKFold ShuffleSplit StratifiedGroupKFold "
        "StratifiedKFold StratifiedShuffleSplit TimeSeriesSplit _CVIterableWrapper"
    ),
    "sklearn.neural_network._stochastic_optimizers": "AdamOptimizer SGDOptimizer",
    "sklearn.utils._bunch": "Bunch",
    "sklearn.utils._metadata_requests": "MetadataRequest MethodMetadataRequest",
    # Gradient boosting of others. Their state is a model in the library's own format, which it parses.
    "catboost.core": "CatBoostClassifier CatBoostRegressor",
    "lightgbm.basic": "Booster",
    "lightgbm.sklearn": "LGBMClassifier LGBMRegressor",
    "xgboost.core": "Booster",
    "xgboost.sklearn": "XGBClassifier XGBRFClassifier XGBRFRegressor XGBRegressor",
    # Columns that a ColumnTransformer was given as `frame.columns`.
    "pandas.arrays": "ArrowStringArray",
}
"""Module: further classes whose instances are created, then given a state."""

CALLED = {
    # What Python itself needs for data.
    "_codecs": "encode",
    "builtins": "bytearray bytes frozenset set slice",
    "collections": "OrderedDict defaultdict",
    # Arrays, scalars and random states.
    "numpy": "dtype",
    "numpy._core.multiarray": "_reconstruct scalar",
    "numpy._core.numeric": "_frombuffer",
    "numpy.ma.core": "_mareconstruct",
    "numpy.random._pickle": "__bit_generator_ctor __generator_ctor __randomstate_ctor",
    "numpy.random.bit_generator": "__pyx_unpickle_SeedSequence",
    # Columns that a ColumnTransformer was given as `frame.columns`.
    "pandas": "StringDtype",
    "pandas.core.indexes.base": "_new_Index",
    "pyarrow.lib": "_restore_array py_buffer type_for_alias",
    # Compiled classes, which take their numbers as arguments.
    "sklearn._loss._loss": (
        "CyAbsoluteError CyExponentialLoss CyHalfBinomialLoss CyHalfGammaLoss CyHalfPoissonLoss "
        "CyHalfSquaredError CyHalfTweedieLoss CyHalfTweedieLossIdentity CyHuberLoss CyPinballLoss "
        "__pyx_unpickle_CyHalfMultinomialLoss"
    ),
    "sklearn.linear_model._sgd_fast": (
        "EpsilonInsensitive Hinge ModifiedHuber SquaredEpsilonInsensitive SquaredHinge"
    ),
    "sklearn.metrics._dist_metrics": "newObj",
    "sklearn.neighbors._ball_tree": "newObj",
    "sklearn.neighbors._kd_tree": "newObj",
    "sklearn.tree._tree": "Tree",
    # A named tuple.
    "sklearn.impute._iterative": "_ImputerTriplet",
    # Of one function alone, `check_array`: HistGradientBoosting keeps it so.
    "functools": "partial",
}
"""Module: functions and classes that are called with arguments while the pickle is loaded."""

HELD = {
    # Types that encoders and imputers have as `dtype`.
    "builtins": "bool float int object str",
    "numpy": (
        # Scalar types, and the class of arrays.
        "bool float16 float32 float64 floating int16 int32 int64 int8 integer ndarray number object_ str_ "
        "uint16 uint32 uint64 uint8 "
        # Functions that FunctionTransformer and SimpleImputer are given.
        "absolute cbrt ceil clip cos exp exp2 expm1 floor isfinite isnan log log10 log1p log2 maximum mean "
        "median minimum nan_to_num nanmean nanmedian negative power ravel reciprocal round sign sin sqrt "
        "square squeeze tanh"
    ),
    "numpy.ma": "MaskedArray",
    "pandas": "Index NA RangeIndex",
    "scipy.special._special_ufuncs": "expit logit",
    # Classes that `CALLED` functions make instances of.
    "collections": "OrderedDict",
    "numpy.random._mt19937": "MT19937",
    "numpy.random._pcg64": "PCG64 PCG64DXSM",
    "numpy.random._philox": "Philox",
    "numpy.random._sfc64": "SFC64",
    "numpy.random.bit_generator": "SeedSequence",
    "sklearn._loss._loss": "CyHalfMultinomialLoss",
    "sklearn.metrics._dist_metrics": (
        "BrayCurtisDistance32 BrayCurtisDistance64 CanberraDistance32 CanberraDistance64 "
        "ChebyshevDistance32 ChebyshevDistance64 DiceDistance32 DiceDistance64 EuclideanDistance32 "
        "EuclideanDistance64 HammingDistance32 HammingDistance64 HaversineDistance32 HaversineDistance64 "
        "JaccardDistance32 JaccardDistance64 KulsinskiDistance32 KulsinskiDistance64 "
        "MahalanobisDistance32 MahalanobisDistance64 ManhattanDistance32 ManhattanDistance64 "
        "MatchingDistance32 MatchingDistance64 MinkowskiDistance32 MinkowskiDistance64 PyFuncDistance32 "
        "PyFuncDistance64 RogersTanimotoDistance32 RogersTanimotoDistance64 RussellRaoDistance32 "
        "RussellRaoDistance64 SEuclideanDistance32 SEuclideanDistance64 SokalMichenerDistance32 "
        "SokalMichenerDistance64 SokalSneathDistance32 SokalSneathDistance64"
    ),
    "sklearn.neighbors._ball_tree": "BallTree BallTree32 BallTree64",
    "sklearn.neighbors._kd_tree": "KDTree KDTree32 KDTree64",
    # What estimators choose themselves.
    "scipy._lib.array_api_compat.numpy._aliases": "asarray",
    "sklearn.cluster._kmeans": "_kmeans_single_elkan _kmeans_single_lloyd",
    "sklearn.model_selection._split": "KFold StratifiedKFold",
    "sklearn.utils.validation": "check_array",
    # Score functions of feature selection.
    "sklearn.feature_selection._mutual_info": "mutual_info_classif mutual_info_regression",
    "sklearn.feature_selection._univariate_selection": ("chi2 f_classif f_oneway f_regression r_regression"),
    # Kernels and distances that are given as functions.
    "sklearn.metrics.pairwise": (
        "additive_chi2_kernel chi2_kernel cosine_distances cosine_similarity euclidean_distances "
        "haversine_distances laplacian_kernel linear_kernel manhattan_distances nan_euclidean_distances "
        "polynomial_kernel rbf_kernel sigmoid_kernel"
    ),
    # Metrics, which a search keeps in its scorer.
    "sklearn.metrics._classification": (
        "accuracy_score balanced_accuracy_score brier_score_loss cohen_kappa_score d2_brier_score "
        "d2_log_loss_score f1_score fbeta_score hamming_loss jaccard_score log_loss matthews_corrcoef "
        "precision_score recall_score zero_one_loss"
    ),
    "sklearn.metrics._ranking": (
        "average_precision_score dcg_score ndcg_score roc_auc_score top_k_accuracy_score"
    ),
    "sklearn.metrics._regression": (
        "d2_absolute_error_score d2_pinball_score d2_tweedie_score explained_variance_score max_error "
        "mean_absolute_error mean_absolute_percentage_error mean_gamma_deviance mean_pinball_loss "
        "mean_poisson_deviance mean_squared_error mean_squared_log_error mean_tweedie_deviance "
        "median_absolute_error r2_score root_mean_squared_error root_mean_squared_log_error"
    ),
    "sklearn.metrics._scorer": "negative_likelihood_ratio positive_likelihood_ratio",
    "sklearn.metrics.cluster._supervised": (
        "adjusted_mutual_info_score adjusted_rand_score completeness_score fowlkes_mallows_score "
        "homogeneity_score mutual_info_score normalized_mutual_info_score rand_score v_measure_score"
    ),
}
"""Module: types and functions that an estimator keeps. Loading calls none; predicting may."""

HINTS = {
    "__main__": "what the notebook itself defines has no name elsewhere: move it into a module",
    "cloudpickle": (
        "cloudpickle wrote code into the pickle, of functions or classes that the notebook defines: move them"
        " into a module"
    ),
    "copyreg": "it has protocol 0 or 1: write it with `pickle.dump(pipeline, file)`",
    "joblib.memory": "a cache is of no use here: `pipeline.set_params(memory=None)` before you write it",
    "numpy.core": "numpy 1 wrote it: run the notebook that wrote it again, in this environment",
    "scipy.stats": (
        "distributions of a search execute text when they are restored: write `search.best_estimator_`"
        " instead of the search"
    ),
}
"""Module: the way out, for what is never listed."""


class Use(Flag):
    """What a pickle may do with a name."""

    CREATE = auto()
    CALL = auto()
    HOLD = auto()
    ANY = CREATE | CALL | HOLD


MAPPINGS = {("collections", "OrderedDict"), ("collections", "defaultdict"), ("sklearn.utils._bunch", "Bunch")}
"""Classes whose instances are given items, too."""


class AllowListError(Exception):
    """The file that `PROPENSITY_ALLOW` names can't be used; the message says where."""


def allowed() -> dict[tuple[str, str], Use]:
    """Return the uses of each name, by module and name; names of the own file have all of them.

    Raises:
        AllowListError: the own file can't be read, or a line of it is malformed.
    """
    path = os.environ.get(VARIABLE)
    return _LISTED | dict.fromkeys(_own(path), Use.ANY) if path else _LISTED


def _listed() -> dict[tuple[str, str], Use]:
    listed: dict[tuple[str, str], Use] = {}
    groups = ((ESTIMATORS, Use.CREATE), (PARTS, Use.CREATE), (CALLED, Use.CALL), (HELD, Use.HOLD))
    for names_of, use in groups:
        for module, names in names_of.items():
            for name in names.split():
                listed[module, name] = listed.get((module, name), Use(0)) | use
    return listed


_LISTED = _listed()


@cache
def _own(path: str) -> frozenset[tuple[str, str]]:
    """Return the modules and names in an own file: a `module.Name` a line, after `#` a comment."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise AllowListError(f"{VARIABLE}: {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise AllowListError(f"{VARIABLE}: {path}: not UTF-8 text") from error
    names = set()
    for number, line in enumerate(lines, 1):
        spelled = line.partition("#")[0].strip()
        if not spelled:
            continue
        module, _, name = spelled.rpartition(".")
        if not all(part.isidentifier() for part in (*module.split("."), name)):
            raise AllowListError(
                f"{VARIABLE}: {path}, line {number}: {spelled[:80]!a} is not a `module.Name`, such as"
                " `bank.features.Ratio`"
            )
        names.add((module, name))
    return frozenset(names)
