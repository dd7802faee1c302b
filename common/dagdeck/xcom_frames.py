"""Arrays and tables as XComs: numpy's arrays, pandas' Series, Index and DataFrame.

Decides how each is written as plain JSON, and that nothing is pickled: an array as the bytes of numpy's own format, a
column as an array where its type allows that, else item by item. Used by `dagdeck.xcom_codec`; numpy and pandas are
imported only for such values.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from typing import Any

Write = Callable[[Any, str], Any]
"""Writes one item as JSON, given where it stands; raises XComError."""
Read = Callable[[Any], Any]


def kind_of(value: Any) -> str | None:
    """ "ndarray", "dataframe", "series" or "index"; None for anything else."""
    module = type(value).__module__.partition(".")[0]
    if module == "numpy" and type(value).__name__ == "ndarray":
        return "ndarray" if value.dtype != object else None
    if module == "pandas":
        import pandas

        for kind, name in ((pandas.DataFrame, "dataframe"), (pandas.Series, "series"), (pandas.Index, "index")):
            if isinstance(value, kind):
                return name
    return None


def write(kind: str, value: Any, path: str, item: Write) -> Any:
    """The value's content as JSON."""
    if kind == "ndarray":
        return _write_array(value)
    if kind == "index":
        return _write_index(value, path, item)
    if kind == "series":
        return {
            "name": item(value.name, f"{path}.name"),
            "index": _write_index(value.index, path, item),
            "column": _write_column(value, path, item),
        }
    columns = [_write_column(value.iloc[:, place], f"{path} column {place}", item) for place in range(value.shape[1])]
    return {
        "names": _write_index(value.columns, path, item),
        "index": _write_index(value.index, path, item),
        "columns": columns,
    }


def read(kind: str, stored: Any, item: Read) -> Any:
    """The value that `write` wrote. Raises ValueError, TypeError or KeyError for content that makes no sense."""
    if kind == "ndarray":
        return _read_array(stored)
    if kind == "index":
        return _read_index(stored, item)
    import pandas

    index = _read_index(stored["index"], item)
    if kind == "series":
        return pandas.Series(_read_column(stored["column"], item), index=index, name=item(stored["name"]))
    names = _read_index(stored["names"], item)
    columns = {place: _read_column(column, item) for place, column in enumerate(stored["columns"])}
    frame = pandas.DataFrame(columns, index=index)
    frame.columns = names
    return frame


def _write_array(value: Any) -> str:
    import numpy

    buffer = io.BytesIO()
    numpy.save(buffer, value, allow_pickle=False)
    return base64.b64encode(buffer.getvalue()).decode()


def _read_array(stored: str) -> Any:
    import numpy

    return numpy.load(io.BytesIO(base64.b64decode(stored)), allow_pickle=False)


def _write_column(column: Any, path: str, item: Write) -> dict[str, Any]:
    dtype = column.dtype
    written: dict[str, Any] = {"dtype": str(dtype)}
    if dtype.kind in "biufcmM" and type(dtype).__module__.startswith("numpy"):
        written["array"] = _write_array(column.to_numpy())
        return written
    if type(dtype).__name__ == "CategoricalDtype":
        written["codes"] = _write_array(column.cat.codes.to_numpy() if hasattr(column, "cat") else column.codes)
        written["categories"] = _write_index(dtype.categories, path, item)
        written["ordered"] = bool(dtype.ordered)
        return written
    missing = column.isna()
    written["items"] = [
        None if absent else item(value, f"{path}[{place}]")
        for place, (value, absent) in enumerate(zip(column, missing, strict=True))
    ]
    return written


def _read_column(stored: dict[str, Any], item: Read) -> Any:
    import pandas

    if "array" in stored:
        return _read_array(stored["array"])
    if "codes" in stored:
        return pandas.Categorical.from_codes(
            _read_array(stored["codes"]), _read_index(stored["categories"], item), ordered=stored["ordered"]
        )
    return pandas.array([item(value) for value in stored["items"]], dtype=stored["dtype"])


def _write_index(index: Any, path: str, item: Write) -> dict[str, Any]:
    import pandas

    if isinstance(index, pandas.RangeIndex):
        return {"range": [index.start, index.stop, index.step], "name": item(index.name, f"{path}.index.name")}
    if isinstance(index, pandas.MultiIndex):
        return {
            "tuples": [[item(value, f"{path}.index") for value in each] for each in index],
            "names": [item(name, f"{path}.index.names") for name in index.names],
        }
    column = _write_column(index, f"{path}.index", item)
    return {**column, "name": item(index.name, f"{path}.index.name")}


def _read_index(stored: dict[str, Any], item: Read) -> Any:
    import pandas

    if "range" in stored:
        return pandas.RangeIndex(*stored["range"], name=item(stored["name"]))
    if "tuples" in stored:
        tuples = [tuple(item(value) for value in each) for each in stored["tuples"]]
        return pandas.MultiIndex.from_tuples(tuples, names=[item(name) for name in stored["names"]])
    return pandas.Index(_read_column(stored, item), name=item(stored["name"]))
