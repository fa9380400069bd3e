// Where hits occur, from the three arrays that a matcher returns.
#pragma once

#include <pybind11/stl.h>

#include <cstdint>
#include <optional>
#include <string>
#include <tuple>

#include "bindings/arrays.h"
#include "matcher/hits.h"

namespace pivotkit {

// None gives nothing; places of another number of hits than `hits` are refused.
inline std::optional<Occurrences> occurrences_of(const py::object& places, std::size_t hits,
                                                 const std::string& function) {
  if (places.is_none()) return std::nullopt;
  const auto [offsets, starts, ends] =
      py::cast<std::tuple<Array<std::int64_t>, Array<std::int32_t>, Array<std::int32_t>>>(places);
  if (rows_of(offsets, length(starts, function, "starts"), function, "places") != hits)
    refuse(function, "places", "be of as many hits as words", "others");
  if (length(ends, function, "ends") != length(starts, function, "starts"))
    refuse(function, "ends", "be as many as starts", ends.shape(0));
  Occurrences occurrences;
  occurrences.offsets.assign(offsets.data(), offsets.data() + hits + 1);
  occurrences.starts.assign(starts.data(), starts.data() + starts.shape(0));
  occurrences.ends.assign(ends.data(), ends.data() + ends.shape(0));
  return occurrences;
}

}  // namespace pivotkit
