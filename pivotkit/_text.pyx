# cython: language_level=3, boundscheck=False, wraparound=False, freethreading_compatible=True
# distutils: language = c++
"""Lists of Python objects into flat arrays: the one loop of pivotkit that touches an object per item."""

from cpython.list cimport PyList_GET_ITEM, PyList_GET_SIZE
from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.string cimport memcpy

import numpy as np

cdef extern from "Python.h":
    const char* PyUnicode_AsUTF8AndSize(object text, Py_ssize_t* size) except NULL
    unsigned long long PyLong_AsUnsignedLongLong(object number) except? 0xFFFFFFFFFFFFFFFF


def pack_strings(list texts not None):
    """The UTF-8 of ``texts`` in one array: bytes uint8, offsets int64 (len(texts) + 1).

    Raises TypeError for an item that is not a str and ValueError for a lone surrogate, each with the item's place.
    """
    cdef Py_ssize_t count = PyList_GET_SIZE(texts)
    cdef Py_ssize_t i, size
    cdef const char* data
    cdef object text
    offsets = np.zeros(count + 1, dtype=np.int64)
    cdef int64_t[::1] ends = offsets
    for i in range(count):
        text = texts[i]
        if not isinstance(text, str):
            raise TypeError(f"pack_strings: texts must hold str; got {type(text).__name__} at {i}")
        try:
            PyUnicode_AsUTF8AndSize(text, &size)
        except UnicodeEncodeError as error:
            raise ValueError(
                f"pack_strings: texts must be valid Unicode; got a lone surrogate at {i}, character {error.start}"
            ) from None
        ends[i + 1] = ends[i] + size
    packed = np.empty(offsets[count], dtype=np.uint8)
    cdef uint8_t[::1] target = packed
    for i in range(count):
        data = PyUnicode_AsUTF8AndSize(texts[i], &size)
        if size != ends[i + 1] - ends[i]:
            raise RuntimeError("pack_strings: texts must stay as they are meanwhile; got another list")
        if size:
            memcpy(&target[ends[i]], data, size)
    return packed, offsets


def pack_ids(list documents not None):
    """Lists of token ids in one array: ids uint32, offsets int64 (len(documents) + 1).

    Raises TypeError for what is not a list of int and ValueError for an id outside 32 bits, each with its place.
    """
    cdef Py_ssize_t count = PyList_GET_SIZE(documents)
    cdef Py_ssize_t i, j, size
    cdef int64_t at = 0
    cdef unsigned long long number
    cdef list ids
    cdef object document
    offsets = np.zeros(count + 1, dtype=np.int64)
    cdef int64_t[::1] ends = offsets
    for i in range(count):
        document = documents[i]
        if not isinstance(document, list):
            raise TypeError(f"pack_ids: documents must hold lists of int; got {type(document).__name__} at {i}")
        ends[i + 1] = ends[i] + PyList_GET_SIZE(document)
    packed = np.empty(offsets[count], dtype=np.uint32)
    cdef uint32_t[::1] target = packed
    for i in range(count):
        ids = documents[i]
        size = PyList_GET_SIZE(ids)
        if size != ends[i + 1] - ends[i]:
            raise RuntimeError("pack_ids: documents must stay as they are meanwhile; got another list")
        for j in range(size):
            item = <object>PyList_GET_ITEM(ids, j)
            if not isinstance(item, int):
                raise TypeError(f"pack_ids: ids must be int; got {type(item).__name__} at {i}, {j}")
            try:
                number = PyLong_AsUnsignedLongLong(item)
            except OverflowError:
                number = 1 << 32
            if number > 0xFFFFFFFF:
                raise ValueError(f"pack_ids: ids must be in [0, 2^32); got {item} at {i}, {j}")
            target[at] = <uint32_t>number
            at += 1
    return packed, offsets
