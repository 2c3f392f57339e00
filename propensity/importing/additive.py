"""Compiles a pipeline to a sum of effects, whatever it is built of.

Nothing is read out of the pipeline. It is evaluated: a field's effect is what changing this field alone
changes in the log-odds. If the effects of all fields add up to the log-odds of any row, they are the model.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from numpy.polynomial import chebyshev

from propensity.contract.features import Features
from propensity.contract.field import Field
from propensity.importing.encoding import Compiled, NotCompilableError
from propensity.importing.parity import SEED, extents, first_line
from propensity.model.additive import AdditiveForm, Effects
from propensity.model.pipeline import PipelineForm

Array = npt.NDArray[np.float64]
LogOdds = tuple[Array, Array]
"""Log-odds of n rows and how far off each may be, both of shape (n,)."""

ACCURACY = 1e-12
"""By how much the effect of a number may be off, relative to 1 + log-odds."""

SINGLE_ACCURACY = 1e-6
"""The same where a pipeline decides in 32 bits."""

SLACK = 100.0
"""What that is multiplied by where an effect has more than `FEW_PIECES` otherwise: it may be jagged."""

DEGREES = (0, 1, 3, 7)
"""Degrees of a polynomial that are tried in turn."""

LONGEST_TABLE = 1_024
"""Whole numbers that a field may take to get a table of all its values."""

MOST_CATEGORIES = 65_536
FEW_PIECES = 512
MOST_PIECES = 4_096
MOST_EVALUATIONS = 4_000_000
CHUNK = 8_192

TRIED_ROWS = 200
"""Rows that are tried first, since most models are not additive."""

KNOWN_NUMBERS = 512
"""Numbers of a field in the hold-out set that its spans are parted and sampled at."""

FAR = (3.0, 1e2, 1e4, 1e8)
"""How many times farther than `extents` a field without bounds is tried."""

_NODES = np.cos(np.pi * (np.arange(2 * max(DEGREES)) + 0.5) / (2 * max(DEGREES)))
"""Where a span is sampled, from -1 to 1: points between which polynomials do not swing."""

_NEARLY = 1e3
"""Errors by which a polynomial may be off before it is worked out to the last bit."""

_POWERS = np.column_stack(
    [
        np.pad(chebyshev.cheb2poly(row[: place + 1]), (0, len(row) - place - 1))
        for place, row in enumerate(np.eye(max(DEGREES) + 1))
    ]
)
"""Coefficients of powers in Chebyshev polynomials, one column each."""

_EPSILON = float(np.finfo(np.float64).eps)


def compile_additive(form: PipelineForm, rows: Features) -> Compiled[AdditiveForm]:
    """Return the additive form of a pipeline.

    Args:
        form: the pipeline.
        rows: features of the hold-out set; explanations start at their mean.

    Raises:
        NotCompilableError: fields interact, or the effect of one is no piecewise polynomial.
    """
    model = _Model(form, rows)
    model.try_rows()
    columns = range(len(model.fields))
    tables = {column: _tabulated(model, column) for column in columns if _is_short(model.fields[column])}
    pieces = _drawn(model, [column for column in columns if column not in tables])
    effects = _effects(model, tables, pieces)
    means = AdditiveForm(effects).contributions(rows).mean(axis=0)
    probes = [np.array([piece.low for piece in pieces.get(column, ())]) for column in columns]
    return Compiled(AdditiveForm(replace(effects, means=means)), probes)


def _is_short(field: Field) -> bool:
    """Return whether a field gets a table of all its values."""
    if field.categories is not None and len(field.categories) > MOST_CATEGORIES:
        raise NotCompilableError(f"{field.name} has more than {MOST_CATEGORIES:,} categories")
    return field.kind in {"boolean", "category"} or (
        field.kind == "integer" and field.highest - field.lowest < LONGEST_TABLE
    )


class _Model:
    """The pipeline, evaluated one field at a time.

    Attributes:
        fields: in the order of the columns.
        rows: the hold-out set.
        extents: least and largest value of each column to try.
        intercept: log-odds of the row in which one field at a time is changed.
    """

    def __init__(self, form: PipelineForm, rows: Features) -> None:
        self.fields = form.contract.columns.fields
        self.rows = rows
        self.extents = extents(form.contract, rows)
        self._evaluations = 0
        self._log_odds = _log_odds_of(form, rows[: 5 * TRIED_ROWS])
        log_odds, errors = self.log_odds(rows[: 5 * TRIED_ROWS])
        # Where log-odds are least, propensities tell most about them.
        middle = int(np.argmin(np.where(np.isfinite(errors), np.abs(log_odds), np.inf)))
        self._row = rows[middle]
        self.intercept = float(log_odds[middle])
        if not np.isfinite(self.intercept):
            raise NotCompilableError("its propensities are all 0 or 1, which says nothing about log-odds")

    def log_odds(self, features: Features) -> LogOdds:
        """Return the log-odds of rows.

        Raises:
            NotCompilableError: the pipeline fails on one of them, or has been asked too often.
        """
        self._evaluations += len(features)
        if self._evaluations > MOST_EVALUATIONS:
            raise NotCompilableError(f"its fields' effects are not found in {MOST_EVALUATIONS:,} evaluations")
        chunks = [features[start : start + CHUNK] for start in range(0, len(features), CHUNK)]
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                found = [self._log_odds(chunk) for chunk in chunks]
        except Exception as error:
            raise NotCompilableError(
                f"it fails on rows that the contract allows ({type(error).__name__}: {first_line(error)})"
            ) from error
        log_odds, errors = (np.concatenate(each) for each in zip(*found, strict=True))
        return log_odds, np.where(np.isfinite(log_odds), errors, np.inf)

    def effects(self, columns: npt.NDArray[np.intp], values: Array) -> LogOdds:
        """Return the effects of single values, and how far off each may be.

        Args:
            columns: the column of each value, shape (n,).
            values: shape (n,).
        """
        features = np.repeat(self._row[None], len(values), axis=0)
        features[np.arange(len(values)), columns] = values
        log_odds, errors = self.log_odds(features)
        effects = np.where(np.isfinite(errors), log_odds - self.intercept, 0.0)
        return effects, errors + ACCURACY * (1 + np.abs(log_odds))

    def missing(self) -> Array:
        """Return the effect of a missing value of each column, NaN where none may be, shape (columns,)."""
        nullable = np.array([field.nullable for field in self.fields])
        missing = np.full(len(self.fields), np.nan)
        places = np.flatnonzero(nullable)
        if len(places):
            effects, errors = self.effects(places, np.full(len(places), np.nan))
            self.refuse_saturated(places[~np.isfinite(errors)])
            missing[places] = effects
        return missing

    def refuse_saturated(self, columns: npt.NDArray[np.intp]) -> None:
        """Refuse columns of whose effects nothing is known, if there are any.

        Raises:
            NotCompilableError: there are.
        """
        if len(columns):
            raise NotCompilableError(
                f"{self.fields[columns[0]].name} alone can push the propensity to 0 or 1, which does not say"
                " how much it adds to the log-odds; narrower bounds in the contract may help"
            )

    def try_rows(self) -> None:
        """Compare log-odds with sums of effects.

        Raises:
            NotCompilableError: they differ.
        """
        random = np.random.default_rng(SEED)
        features = np.empty((TRIED_ROWS, len(self.fields)))
        for column, (field, (lowest, highest)) in enumerate(zip(self.fields, self.extents, strict=True)):
            features[:, column] = random.choice(self.rows[:, column], TRIED_ROWS)
            anew = random.random(TRIED_ROWS) < (0.5 if field.kind in {"boolean", "category"} else 0.1)
            values = lowest + random.random(TRIED_ROWS) * (highest - lowest)
            features[anew, column] = (np.floor(values) if field.kind != "number" else values)[anew]
            if field.nullable:
                features[random.random(TRIED_ROWS) < 1 / 8, column] = np.nan
        log_odds, errors = self.log_odds(features)
        columns = np.tile(np.arange(len(self.fields)), TRIED_ROWS)
        effects, effect_errors = (
            each.reshape(features.shape) for each in self.effects(columns, features.ravel())
        )
        sums = self.intercept + effects.sum(axis=1)
        known = np.isfinite(errors) & np.isfinite(effect_errors).all(axis=1)
        rounding = 1e3 * ACCURACY * (1 + np.abs(effects).sum(axis=1))
        off = (np.abs(log_odds - sums) > errors + effect_errors.sum(axis=1) + rounding) & known
        if off.any():
            by = np.abs(log_odds - sums)[off].max()
            raise NotCompilableError(
                f"its fields interact: log-odds are up to {by:.2g} off the sum of what each field adds"
            )


def _log_odds_of(form: PipelineForm, rows: Features) -> Callable[[Features], LogOdds]:
    """Return how to get log-odds: the most exact method of a pipeline that agrees with its propensities."""
    pipeline, sign = form.pipeline, 1.0 if str(form.pipeline.classes_[1]) == form.positive else -1.0

    def of_decisions(features: Features) -> LogOdds:
        decided = np.asarray(pipeline.decision_function(form.input(features))).reshape(-1)
        log_odds = sign * decided.astype(np.float64)
        accuracy = SINGLE_ACCURACY if decided.dtype == np.float32 else 0.0
        return log_odds, accuracy * (1 + np.abs(log_odds))

    def of_logarithms(features: Features) -> LogOdds:
        logs = np.asarray(pipeline.predict_log_proba(form.input(features)), np.float64)
        return sign * (logs[:, 1] - logs[:, 0]), np.zeros(len(logs))

    def of_propensities(features: Features) -> LogOdds:
        propensities = form.propensities(features)
        odds = propensities * (1 - propensities)
        return np.log(propensities / (1 - propensities)), 4 * _EPSILON / odds

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        propensities = form.propensities(rows)
        is_single = np.asarray(pipeline.predict_proba(form.input(rows[:1]))).dtype == np.float32
        methods = []
        if hasattr(pipeline, "decision_function"):
            methods.append(of_decisions)
        if hasattr(pipeline, "predict_log_proba"):
            probabilities = np.asarray(pipeline.predict_proba(form.input(rows)))
            # A mere logarithm of the propensity knows no more than the propensity.
            if not np.array_equal(np.log(probabilities), pipeline.predict_log_proba(form.input(rows))):
                methods.append(of_logarithms)
        for method in methods:
            log_odds, _ = method(rows)
            if log_odds.shape == propensities.shape and np.isfinite(log_odds).all():
                apart = np.abs(1 / (1 + np.exp(-log_odds)) - propensities).max()
                if apart <= (SINGLE_ACCURACY if is_single else ACCURACY):
                    return method
    return of_propensities


def _tabulated(model: _Model, column: int) -> Array:
    """Return the effects of all whole numbers that a field may take."""
    field = model.fields[column]
    values = np.arange(field.lowest, field.highest + 1)
    effects, errors = model.effects(np.full(len(values), column), values)
    if not np.isfinite(errors).all():
        model.refuse_saturated(np.array([column]))
    return effects


@dataclass(frozen=True, eq=False)
class _Piece:
    """A polynomial from one number to another, both inclusive.

    Attributes:
        coefficients: of the powers of (number - centre) * scale, from the constant on.
    """

    low: float
    high: float
    centre: float
    scale: float
    coefficients: Array

    def __call__(self, numbers: Array) -> Array:
        distances = (numbers - self.centre) * self.scale
        effects: Array = np.full(len(numbers), self.coefficients[-1])
        for coefficient in self.coefficients[-2::-1]:
            effects = effects * distances + coefficient
        return effects


@dataclass(frozen=True)
class _Span:
    """The numbers from one to another, both inclusive, for which there is no piece yet."""

    low: float
    high: float


_Part = _Piece | _Span


@dataclass(frozen=True)
class _Sample:
    """What is known of a span: effects at some numbers, ascending, and how far off each may be."""

    numbers: Array
    effects: Array
    errors: Array

    def informative(self) -> _Sample:
        """Return the sample without the numbers that push the propensity to 0 or 1."""
        known = np.isfinite(self.errors)
        return _Sample(self.numbers[known], self.effects[known], self.errors[known])

    def loosened(self, slack: float) -> _Sample:
        """Return the sample with errors multiplied."""
        return replace(self, errors=self.errors * slack)

    def is_met_by(self, piece: _Piece) -> npt.NDArray[np.bool_]:
        """Return which effects the polynomial of a piece equals."""
        met: npt.NDArray[np.bool_] = np.abs(piece(self.numbers) - self.effects) <= self.errors
        return met


class _Curve:
    """The effect of one column of numbers: pieces, and spans between them that are still to be covered."""

    def __init__(self, field: Field, extent: Array, known: Array, slack: float) -> None:
        self.field = field
        self.slack = slack
        self._is_whole = field.kind == "integer"
        low, high = self._snapped(extent).tolist()
        known = np.unique(self._snapped(known[(low <= known) & (known <= high)]))
        if len(known) > KNOWN_NUMBERS:
            known = known[np.linspace(0, len(known) - 1, KNOWN_NUMBERS).astype(np.intp)]
        self._known = known
        self._home = float(np.median(known)) if len(known) else 0.0
        # Without 0 beside it, a jump at 0 would have to be cornered among all the floats near 0.
        parts = [_Span(low, self._next(0.0, -np.inf)), _Span(0.0, 0.0), _Span(self._next(0.0, np.inf), high)]
        self.parts: list[_Part] = [*parts] if low < 0 < high else [_Span(low, high)]

    @property
    def pieces(self) -> list[_Piece]:
        """The pieces, ascending."""
        return [part for part in self.parts if isinstance(part, _Piece)]

    def asked(self) -> list[Array]:
        """Return the numbers at which each span is to be sampled, ascending: its ends, and some between."""
        neighbours = zip([None, *self.parts[:-1]], self.parts, [*self.parts[1:], None], strict=True)
        return [
            self._numbers(span, _crossing(left, right))
            for left, span, right in neighbours
            if isinstance(span, _Span)
        ]

    def _numbers(self, span: _Span, crossing: Array) -> Array:
        middle, half = span.low / 2 + span.high / 2, span.high / 2 - span.low / 2
        first, last = np.searchsorted(self._known, [span.low, np.nextafter(span.high, np.inf)])
        between = [middle + half * _NODES, self._known[first:last], crossing]
        numbers = np.concatenate([[span.low, span.high], *between])
        return np.unique(np.clip(self._snapped(numbers), span.low, span.high))

    def refine(self, samples: list[_Sample]) -> bool:
        """Cover the spans, or parts of them.

        Args:
            samples: of each span.

        Returns:
            Whether anything changed.
        """
        before, parts, sampled = self.parts, [*self.parts], iter(samples)
        self.parts = []
        for place, part in enumerate(parts):
            if isinstance(part, _Piece):
                self.parts.append(part)
                continue
            after = parts[place + 1] if place + 1 < len(parts) else None
            sample = next(sampled).loosened(self.slack)
            right = self._cover(part, sample, after if isinstance(after, _Piece) else None)
            if right is not None:
                parts[place + 1] = right
        return self.parts != before

    def _cover(self, span: _Span, sample: _Sample, right: _Piece | None) -> _Piece | None:
        """Append to the parts what a span becomes, and return the piece to its right, continued."""
        left = self.parts[-1] if self.parts and isinstance(self.parts[-1], _Piece) else None
        numbers = sample.numbers
        met_by_left = _leading(sample.is_met_by(left)) if left else 0
        met_by_right = _leading(sample.is_met_by(right)[::-1]) if right else 0
        if left and met_by_left == len(numbers):
            self.parts[-1] = replace(left, high=span.high)
            return right
        if right and met_by_right == len(numbers):
            return replace(right, low=span.low)
        fitted = self._fitted(span, sample)
        if fitted is not None:
            self.parts.append(fitted)
            return right
        low, high = span.low, span.high
        if left and met_by_left:
            self.parts[-1] = replace(left, high=float(numbers[met_by_left - 1]))
            low = self._next(self.parts[-1].high, np.inf)
        if right and met_by_right and low <= high:
            right = replace(right, low=max(low, float(numbers[-met_by_right])))
            high = self._next(right.low, -np.inf)
        if low > high:
            return right
        if high - low > (span.high - span.low) / 2 and np.isfinite(sample.errors).any():
            middle = self._middle(low, high)
            self.parts += [_Span(low, middle), _Span(self._next(middle, np.inf), high)]
        else:
            self.parts.append(_Span(low, high))
        return right

    def _fitted(self, span: _Span, sample: _Sample) -> _Piece | None:
        """Return a polynomial of the least degree that covers a span; None if there is none."""
        informative = sample.informative()
        numbers, effects, errors = informative.numbers, informative.effects, informative.errors
        if not len(numbers):
            return None
        middle, half = span.low / 2 + span.high / 2, (span.high / 2 - span.low / 2) or 1.0
        # What is left of the effects beside each degree, in units of what they may be off.
        terms = _chebyshev((numbers - middle) / half) / errors[:, None]
        basis: Array
        factors: Array
        basis, factors = np.linalg.qr(terms[:, : len(numbers)])
        parts = basis.T @ (effects / errors)
        for degree in DEGREES:
            # Polynomials prove themselves by a number more than they have coefficients, unless there is none.
            if len(numbers) < min(degree + 2, len(sample.numbers)) or len(numbers) <= degree:
                return None
            size = degree + 1
            if np.abs(effects / errors - basis[:, :size] @ parts[:size]).max() > _NEARLY:
                continue
            if degree <= 1:
                piece = self._line(span, informative, degree)
            else:
                series = np.linalg.solve(factors[:size, :size], parts[:size])
                powers: Array = _POWERS[:size, :size] @ series
                piece = _Piece(span.low, span.high, middle, 1 / half, powers)
            if informative.is_met_by(piece).all():
                return piece
        return None

    def _line(self, span: _Span, sample: _Sample, degree: int) -> _Piece:
        """Return a line that measures from where most numbers are, so that it is most exact there."""
        home = min(max(self._home, span.low), span.high)
        half = max(span.high - home, home - span.low) or 1.0
        terms = _chebyshev((sample.numbers - home) / half)[:, : degree + 1] / sample.errors[:, None]
        series = np.linalg.lstsq(terms, sample.effects / sample.errors)[0].astype(np.float64)
        series[1:] /= half  # Unscaled, it stays finite up to the largest number.
        return _Piece(span.low, span.high, home, 1.0, series)

    def _middle(self, low: float, high: float) -> float:
        """Return where to part a span: amid the known numbers in it, or else halfway."""
        known = self._known[(low < self._known) & (self._known < high)]
        middle = known[len(known) // 2] if len(known) else float(self._snapped(np.array(low / 2 + high / 2)))
        return float(middle) if low <= middle < high else low

    def _snapped(self, numbers: Array) -> Array:
        if self._is_whole:
            return np.round(numbers)
        return numbers.astype(np.float32).astype(np.float64) if is_single(self.field) else numbers

    def _next(self, number: float, to: float) -> float:
        if self._is_whole:
            return number + float(np.sign(to))
        if is_single(self.field):
            return float(np.nextafter(np.float32(number), np.float32(to)))
        return float(np.nextafter(number, to))


def _crossing(left: _Part | None, right: _Part | None) -> Array:
    """Return where two lines cross: a kink between them is there."""
    if not (isinstance(left, _Piece) and isinstance(right, _Piece)):
        return np.empty(0)
    if len(left.coefficients) > _LINE or len(right.coefficients) > _LINE:
        return np.empty(0)
    from_left, from_right = (np.diff(piece(np.array([left.high, right.low]))) for piece in (left, right))
    apart = right(np.array([left.high])) - left(np.array([left.high]))
    with np.errstate(all="ignore"):
        crossing = left.high + apart / (from_left - from_right) * (right.low - left.high)
    found: Array = crossing[np.isfinite(crossing)]
    return found


_LINE = 2
"""Coefficients of a line."""


def is_single(field: Field) -> bool:
    """Return whether a pipeline gets a field in 32 bits."""
    return field.kind == "number" and field.dtype in {"float32", "Float32"}


def _chebyshev(numbers: Array) -> Array:
    """Return the Chebyshev polynomials at numbers from -1 to 1, shape (n, polynomials)."""
    terms = [np.ones(len(numbers)), numbers]
    while len(terms) <= max(DEGREES):
        terms.append(2 * numbers * terms[-1] - terms[-2])
    return np.column_stack(terms)


def _leading(met: npt.NDArray[np.bool_]) -> int:
    """Return how many are true before the first that is not."""
    return len(met) if met.all() else int(np.argmin(met))


def _drawn(model: _Model, columns: list[int]) -> dict[int, list[_Piece]]:
    """Return the effects of numbers as pieces, for each of some columns.

    Spans are covered by polynomials where these equal the effect at twice as many numbers as they have
    coefficients. Where they don't, the pieces to the left and to the right are continued as far as they equal
    it, and what remains is halved. So a jump is cornered to two neighbouring floats.

    Raises:
        NotCompilableError: an effect needs too many pieces, or is not known everywhere.
    """

    def curve(column: int, slack: float) -> _Curve:
        return _Curve(model.fields[column], model.extents[column], model.rows[:, column], slack)

    curves = {column: curve(column, 1.0) for column in columns}
    while asked := [(column, numbers) for column in columns for numbers in curves[column].asked()]:
        samples = _sampled(model, asked)
        changed = [curves[column].refine(of_column) for column, of_column in samples.items()]
        if not any(changed):
            model.refuse_saturated(np.array([*samples]))
        for column in samples:
            count = len(curves[column].parts)
            if count > MOST_PIECES:
                name = model.fields[column].name
                raise NotCompilableError(f"the effect of {name} is no polynomial in {MOST_PIECES:,} pieces")
            if count > FEW_PIECES and curves[column].slack < SLACK:
                curves[column] = curve(column, SLACK)
    pieces = {column: curve.pieces for column, curve in curves.items()}
    for column in columns:
        _check_far(model, column, pieces[column])
    return pieces


def _sampled(model: _Model, asked: list[tuple[int, Array]]) -> dict[int, list[_Sample]]:
    """Return samples of columns at some numbers, by column."""
    places = np.concatenate([np.full(len(numbers), column) for column, numbers in asked])
    effects, errors = model.effects(places, np.concatenate([numbers for _, numbers in asked]))
    samples: dict[int, list[_Sample]] = {}
    start = 0
    for column, numbers in asked:
        part = slice(start, start := start + len(numbers))
        samples.setdefault(column, []).append(_Sample(numbers, effects[part], errors[part]))
    return samples


def _check_far(model: _Model, column: int, pieces: list[_Piece]) -> None:
    """Check the effect of a field without bounds where its outermost pieces are continued.

    Raises:
        NotCompilableError: they are no lines, or not continued as lines.
    """
    field = model.fields[column]
    low, high = model.extents[column]
    sides = [(low, field.lowest, pieces[0]), (high, field.highest, pieces[-1])]
    for reached, bound, piece in sides:
        if reached == bound:
            continue
        numbers = np.clip(reached * np.array(FAR), field.lowest, field.highest)
        sample = _Sample(numbers, *model.effects(np.full(len(numbers), column), numbers))
        if len(piece.coefficients) > _LINE or not sample.is_met_by(piece).all():
            raise NotCompilableError(
                f"the effect of {field.name} is no line where it has no bounds; give {field.name} a minimum"
                " and a maximum in the contract"
            )


def _effects(model: _Model, tables: dict[int, Array], pieces: dict[int, list[_Piece]]) -> Effects:
    """Return the effects of all columns, with means of 0."""
    columns = range(len(model.fields))
    every = [piece for column in columns for piece in pieces.get(column, [])]
    coefficients = np.zeros((len(every), max(DEGREES) + 1))
    for place, piece in enumerate(every):
        coefficients[place, : len(piece.coefficients)] = piece.coefficients
    ends = [
        np.append([piece.high for piece in pieces[column][:-1]], np.inf)
        for column in columns
        if column in pieces
    ]
    return Effects(
        intercept=np.array(model.intercept),
        means=np.zeros(len(columns)),
        missing=model.missing(),
        rounded=np.array([is_single(field) for field in model.fields]),
        lowest=np.array([field.lowest for field in model.fields]),
        values=np.concatenate([np.empty(0), *(tables[column] for column in columns if column in tables)]),
        value_counts=np.array([len(tables.get(column, ())) for column in columns]),
        ends=np.concatenate([np.empty(0), *ends]),
        piece_counts=np.array([len(pieces.get(column, ())) for column in columns]),
        centres=np.array([piece.centre for piece in every]),
        scales=np.array([piece.scale for piece in every]),
        coefficients=coefficients,
    )
