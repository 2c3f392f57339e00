"""The Open Inference Protocol, version 2, over REST: a tensor for each field, and tensors in answer.

KServe, Seldon, MLServer and Triton's clients speak it: github.com/kserve/open-inference-protocol. It has no
word for a missing value: null, NaN and the tensor of a field that is left out are one. Nor has it one for a
row that is not valid: its problem stands in the parameters of the response, and null in the tensors.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from itertools import chain
from typing import Annotated, Any

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import UNSET, Meta, UnsetType

from propensity.contract.contract import Contract
from propensity.contract.features import Features
from propensity.contract.field import MAX_NAME, Field
from propensity.contract.limits import MAX_ROWS
from propensity.contract.problem import MAX_ERRORS, FieldError, Kind, Problem, ProblemError, pointer
from propensity.formats.batch import Answers, Asked, Batch, Hold, unbounded
from propensity.formats.decoder import RowDecoder
from propensity.formats.json import BOM, RowReader, count
from propensity.formats.media_types import Format
from propensity.formats.predictions import ENCODER

PREDICTED = ("propensity", "decision")
"""The outputs of a response to a request that names none."""

CONTRIBUTIONS = "contributions"
"""The output that explains: what each field adds to the log-odds."""

_FLOATS = ("FP64", "FP32", "FP16")
_INTEGERS = ("INT64", "INT32", "INT16", "INT8", "UINT64", "UINT32", "UINT16", "UINT8")
DATATYPES = {
    "integer": (*_INTEGERS, *_FLOATS),
    "number": (*_FLOATS, *_INTEGERS),
    "boolean": ("BOOL",),
    "category": ("BYTES",),
}
"""The types of tensors that each kind of field takes; the metadata state the first."""

_ELEMENTS = {
    "integer": frozenset({float, int, type(None)}),
    "number": frozenset({float, int, type(None)}),
    "boolean": frozenset({bool, type(None)}),
    "category": frozenset({str, type(None)}),
}

_BINARY = b'"binary_data_size"'
"""What a request says of each tensor that follows its JSON."""

Parameters = dict[str, str | float | bool]


class TensorMetadata(msgspec.Struct, frozen=True):
    """A tensor that the model takes or gives; -1 in its shape stands for any number of rows."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(msgspec.Struct, frozen=True):
    """The tensors that the model takes and gives."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class RequestInput(msgspec.Struct, frozen=True):
    """The values of a field."""

    name: Annotated[str, Meta(description="Of the field.")]
    datatype: str
    shape: Annotated[list[int], Meta(description="[rows] or [rows, 1].")]
    data: Annotated[list[Any], Meta(description="One value for each row; null where it is missing.")]


class RequestOutput(msgspec.Struct, frozen=True):
    """A tensor that is asked for."""

    name: Annotated[str, Meta(description="`propensity`, `decision` or `contributions`.")]


class InferenceRequest(msgspec.Struct, frozen=True):
    """A tensor for each field. Parameters are ignored."""

    inputs: list[RequestInput]
    outputs: list[RequestOutput] | UnsetType | None = UNSET
    id: str | UnsetType | None = UNSET


class ResponseOutput(msgspec.Struct, frozen=True):
    """A tensor of the answers."""

    name: str
    datatype: str
    shape: list[int]
    data: Annotated[list[Any], Meta(description="In row-major order; null for a row that is not valid.")]
    parameters: Parameters | UnsetType = UNSET


class InferenceResponse(msgspec.Struct, frozen=True):
    """The answers to all rows."""

    model_name: str
    model_version: str
    parameters: Annotated[
        Parameters,
        Meta(
            description="`threshold`; `problems`, the number of rows that are not valid; and of each its"
            " problem document as JSON, such as `problem_3` of the fourth row."
        ),
    ]
    outputs: list[ResponseOutput]
    id: str | UnsetType = UNSET


def model_metadata(contract: Contract, tag: str, *, is_additive: bool) -> ModelMetadata:
    """Return the metadata of a model.

    Args:
        contract: of its rows.
        tag: of the model, `name:version`.
        is_additive: whether it gives contributions.
    """
    outputs = [TensorMetadata("propensity", "FP64", [-1]), TensorMetadata("decision", "BYTES", [-1])]
    if is_additive:
        outputs.append(TensorMetadata(CONTRIBUTIONS, "FP64", [-1, len(contract.fields)]))
    inputs = [TensorMetadata(field.name, DATATYPES[field.kind][0], [-1]) for field in contract.fields]
    name, _, version = tag.partition(":")
    return ModelMetadata(name, [version], "propensity_bento", inputs, outputs)


def request_of(rows: Sequence[Mapping[str, Any]], contract: Contract) -> InferenceRequest:
    """Return the request that sends these rows, each a value by field."""
    return InferenceRequest(
        [
            RequestInput(
                field.name, DATATYPES[field.kind][0], [len(rows)], [row.get(field.name) for row in rows]
            )
            for field in contract.fields
        ]
    )


class Inference(Format):
    """Rows as named tensors, answered with named tensors."""

    media_type = "application/json"
    name = "JSON, by binary_data=False in the clients of Triton and KServe,"
    is_default = True

    def __init__(self, contract: Contract, tag: str, path: str) -> None:
        """Create the format of an operation.

        Args:
            contract: the contract of the model's rows.
            tag: of the model, `name:version`.
            path: of the operation, to which the links of its problems are relative.
        """
        super().__init__(RowDecoder(contract), RowReader(contract))
        self._name, _, self._version = tag.partition(":")
        self._path = path.encode()

    def _rows_at_most(self, body: bytes) -> int:
        return count(body, b",") // len(self._contract.fields) + 1

    def read(self, body: bytes, hold: Hold = unbounded) -> Batch:
        """Return the rows of the tensors. A request of one row is refused if that is not valid."""
        self._may_decode(body, hold)
        request = self._request(body.removeprefix(BOM))
        features, problems = _rows(request.inputs, self._contract, hold)
        if not len(features) and len(problems) == 1:
            raise ProblemError(problems[0])
        # Each once: a small body could ask for a huge response.
        names = tuple(dict.fromkeys(output.name for output in request.outputs or ())) or PREDICTED
        return Batch(features, problems, Asked(names, CONTRIBUTIONS in names, request.id))

    def _request(self, body: bytes) -> InferenceRequest:
        try:
            request = msgspec.convert(self._reader.parse(body), InferenceRequest)
        except msgspec.ValidationError as error:
            detail = f"the body is not an inference request: {error}"
            raise ProblemError.of(Kind.INVALID_ROW, detail) from None
        except ProblemError:
            if _BINARY in body:
                detail = "send tensors as JSON: the clients of Triton and KServe do, with binary_data=False"
                raise ProblemError.of(Kind.UNSUPPORTED_FORMAT, detail) from None
            raise
        known = (*PREDICTED, CONTRIBUTIONS)
        for output in request.outputs or ():
            if output.name not in known:
                detail = f"there is no output {output.name[:MAX_NAME]!r}; there are {', '.join(known)}"
                raise ProblemError.of(Kind.INVALID_ROW, detail)
        return request

    def write(self, answers: Answers) -> bytes:
        """Return the tensors that are asked for, and the problems as parameters."""
        asked = answers.asked or Asked(PREDICTED)
        names = asked.outputs
        if answers.explanations and CONTRIBUTIONS not in names:  # asked for in the query string
            names = *names, CONTRIBUTIONS
        parameters: Parameters = {"threshold": answers.threshold, "problems": len(answers.problems)}
        for place, problem in answers.problems.items():
            parameters[f"problem_{place}"] = problem.content(self._path).decode()
        outputs = [_OUTPUTS[name](answers) for name in names]
        request_id = UNSET if asked.request_id is None else asked.request_id
        return ENCODER.encode(InferenceResponse(self._name, self._version, parameters, outputs, request_id))


def _rows(
    tensors: Sequence[RequestInput], contract: Contract, hold: Hold
) -> tuple[Features, dict[int, Problem]]:
    """Return the features of the valid rows, and the problems of the others by place.

    Raises:
        ProblemError: 422, the tensors are not those of the fields, or not of one length.
    """
    rows = tensors[0].shape[0] if tensors and tensors[0].shape else 0
    if not 1 <= rows <= MAX_ROWS:
        detail = f"each tensor must hold at least 1 value and at most {MAX_ROWS:,}; split the batch"
        raise ProblemError.of(Kind.INVALID_ROW, detail)
    values = _values(tensors, rows, contract)
    fields = contract.columns.fields
    features = np.full((len(fields), rows), np.nan)
    for column, field in enumerate(fields):
        if field.name in values:
            features[column] = _encoded(values[field.name], field)
    doubtful = contract.columns.doubtful(features.T)
    places = {tensor.name: str(place) for place, tensor in enumerate(tensors)}
    problems: dict[int, Problem] = {}
    for number in np.flatnonzero(doubtful).tolist():
        row = contract.read_row({name: _sent(data[number]) for name, data in values.items()}, number)
        if isinstance(row, Problem):
            hold(row.bytes)
            for error in row.errors or ():
                if error.field in places:
                    error.pointer = pointer("inputs", places[error.field], "data", str(number))
            problems[number] = row
        else:
            doubtful[number] = False
            features[:, number] = contract.columns.of_tuples([row])
    return features[:, ~doubtful].T if problems else features.T, problems


def _values(tensors: Sequence[RequestInput], rows: int, contract: Contract) -> dict[str, list[Any]]:
    """Return the values of each field, by name.

    Raises:
        ProblemError: 422, a tensor is unknown, missing, repeated, or of another type or shape.
    """
    values: dict[str, list[Any]] = {}
    errors = []
    for place, tensor in enumerate(tensors):
        data = _flat(tensor.data)
        fault = _fault(tensor, data, rows, values, contract.by_name.get(tensor.name))
        if fault is None:
            values[tensor.name] = data
        else:
            name = tensor.name[:MAX_NAME]
            errors.append(FieldError(pointer=pointer("inputs", str(place)), field=name, detail=fault))
    stated = {tensor.name for tensor in tensors}
    errors += [
        FieldError(pointer=pointer("inputs"), field=field.name, detail="is required and missing")
        for field in contract.fields
        if field.name not in stated and not field.nullable
    ]
    if len(errors) > MAX_ERRORS:
        raise ProblemError.of(Kind.INVALID_ROW, f"the inputs are not valid: {len(errors):,} are wrong")
    if errors:
        names = ", ".join(dict.fromkeys(error.field for error in errors if error.field))
        detail = f"the inputs are not valid: {names or 'one has no name'}; see errors"
        raise ProblemError(Problem.of(Kind.INVALID_ROW, detail, errors))
    return values


def _flat(data: list[Any]) -> list[Any]:
    """Return the elements of a tensor; a column may be given as a list of lists of one."""
    is_nested = all(type(each) is list and len(each) == 1 for each in data)
    return [*chain.from_iterable(data)] if is_nested else data


def _fault(
    tensor: RequestInput, data: Sequence[Any], rows: int, seen: Collection[str], field: Field | None
) -> str | None:
    """Return what is wrong with a tensor as a whole."""
    if field is None:
        return "is not a field of this API; check its spelling, or leave it out"
    if tensor.name in seen:
        return "is there more than once"
    if tensor.datatype not in (allowed := DATATYPES[field.kind]):
        return f"must be of datatype {' or '.join(allowed)}, not {tensor.datatype[:MAX_NAME]!r}"
    if tensor.shape not in ([rows], [rows, 1]):
        return f"must be of shape [{rows}] or [{rows}, 1], as many rows as the first tensor has"
    if len(data) != rows:
        return f"has {len(data):,} values, and its shape says {rows:,}"
    return None


def _encoded(data: Sequence[Any], field: Field) -> npt.NDArray[np.float64]:
    """Return the values of a field as features, infinite where they are of a wrong type or no category."""
    kinds = _ELEMENTS[field.kind]
    if not kinds.issuperset(map(type, data)):
        data = [each if type(each) in kinds else np.inf for each in data]
    if field.categories is not None:
        places = {None: np.nan} | {text: float(place) for place, text in enumerate(field.categories)}
        data = [places.get(each, np.inf) for each in data]
    try:
        return np.array(data, np.float64)
    except OverflowError:  # a whole number of hundreds of digits: each row of this request is looked at
        return np.full(len(data), np.inf)


def _sent(value: Any) -> Any:
    """Return a value as the contract takes it: a missing one is None."""
    return None if value != value else value  # noqa: PLR0124 - NaN


def _propensity(answers: Answers) -> ResponseOutput:
    data: list[Any] = answers.propensities.tolist()
    for place in answers.problems:
        data[place] = None
    return ResponseOutput("propensity", "FP64", [len(data)], data)


def _decision(answers: Answers) -> ResponseOutput:
    names = answers.contract.decision_names
    data: list[Any] = [names[positive] for positive in answers.positive.tolist()]
    for place in answers.problems:
        data[place] = None
    return ResponseOutput("decision", "BYTES", [len(data)], data)


def _contributions(answers: Answers) -> ResponseOutput:
    names, explanations = [*answers.contract.by_name], answers.explanations
    rows, nothing = len(answers.propensities), dict.fromkeys(names)
    data: list[Any] = []
    parameters: Parameters = {"fields": json.dumps(names)}
    for place in range(rows):
        added: Mapping[str, Any] = nothing
        explanation = explanations.get(place)
        if explanation is not None and place not in answers.problems:
            added, parameters["base"] = explanation.contributions, explanation.base
        data += [added[name] for name in names]
    return ResponseOutput(CONTRIBUTIONS, "FP64", [rows, len(names)], data, parameters)


_OUTPUTS = {"propensity": _propensity, "decision": _decision, CONTRIBUTIONS: _contributions}
