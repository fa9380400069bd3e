// Shared by the bindings: NumPy arrays to pointers, with checks, and vectors to arrays without a copy.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "common/byte_table.h"
#include "common/require.h"
#include "common/token_documents.h"

namespace pivotkit {

namespace py = pybind11;

template <class T>
using Array = py::array_t<T, py::array::c_style>;

// A vector becomes an array that owns it: no copy.
template <class T>
py::array_t<T> to_array(std::vector<T>&& values) {
  auto* owned = new std::vector<T>(std::move(values));
  const py::capsule owner(owned, [](void* pointer) { delete static_cast<std::vector<T>*>(pointer); });
  return py::array_t<T>(static_cast<py::ssize_t>(owned->size()), owned->data(), owner);
}

// Each of the vectors as such an array; they are empty afterwards.
template <class... T>
py::tuple to_arrays(std::vector<T>&... values) {
  return py::make_tuple(to_array(std::move(values))...);
}

template <class T>
py::array_t<T> to_array(const std::vector<T>& values) {
  return py::array_t<T>(static_cast<py::ssize_t>(values.size()), values.data());
}

template <class T>
std::size_t length(const Array<T>& array, const std::string& function, const std::string& argument) {
  if (array.ndim() != 1) refuse(function, argument, "be one-dimensional", text(array.ndim(), " dimensions"));
  return static_cast<std::size_t>(array.shape(0));
}

inline std::size_t rows_of(const Array<std::int64_t>& offsets, std::size_t total, const std::string& function,
                           const std::string& argument) {
  const std::size_t size = length(offsets, function, argument);
  if (size == 0) refuse(function, argument, "hold at least one entry", "none");
  check_offsets(function, argument, offsets.data(), size - 1, total);
  return size - 1;
}

inline ByteTable byte_table(const Array<std::uint8_t>& data, const Array<std::int64_t>& offsets,
                            const std::string& function, const std::string& argument) {
  const std::size_t count = rows_of(offsets, length(data, function, argument), function, argument + " offsets");
  return {data.data(), offsets.data(), count};
}

// Calls compute(TokenDocuments<uint16 or uint32>) on the ids in place. Other types are refused, never converted.
template <class Compute>
auto with_tokens(const std::string& function, const py::array& ids, const Array<std::int64_t>& offsets,
                 Compute&& compute) {
  if (ids.ndim() != 1 || (ids.flags() & py::array::c_style) == 0)
    refuse(function, "tokens", "be one contiguous dimension", "another layout");
  const std::size_t size = rows_of(offsets, static_cast<std::size_t>(ids.shape(0)), function, "token offsets");
  if (py::isinstance<py::array_t<std::uint16_t>>(ids))
    return compute(TokenDocuments<std::uint16_t>{static_cast<const std::uint16_t*>(ids.data()), offsets.data(), size});
  if (py::isinstance<py::array_t<std::uint32_t>>(ids))
    return compute(TokenDocuments<std::uint32_t>{static_cast<const std::uint32_t*>(ids.data()), offsets.data(), size});
  refuse<py::type_error>(function, "tokens", "be uint16 or uint32", std::string(py::str(ids.dtype())));
}

}  // namespace pivotkit
