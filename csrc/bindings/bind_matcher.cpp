// Watch-list matching: NumPy arrays in, NumPy arrays out, the GIL released round the compute.
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include "bindings/arrays.h"
#include "bindings/register.h"
#include "matcher/matcher.h"

namespace pivotkit {
namespace {

Matcher make_matcher(const Array<std::uint8_t>& data, const Array<std::int64_t>& offsets,
                     const std::shared_ptr<Normalizer>& normalizer, const Array<std::uint8_t>& classes) {
  if (length(classes, "Matcher: classes") != kCodePoints)
    throw std::invalid_argument("Matcher: classes must hold one byte for each of 1114112 code points; got " +
                                std::to_string(classes.shape(0)));
  if (!normalizer) throw std::invalid_argument("Matcher: normalizer must be a Normalizer; got None");
  const ByteTable words = byte_table(data, offsets, "Matcher: words");
  const py::gil_scoped_release release;
  return Matcher(words, normalizer, classes.data());
}

py::tuple match(const Matcher& matcher, const Array<std::uint8_t>& data, const Array<std::int64_t>& offsets) {
  const ByteTable documents = byte_table(data, offsets, "match: documents");
  Hits hits;
  {
    const py::gil_scoped_release release;
    hits = matcher.match(documents);
  }
  return py::make_tuple(to_array(std::move(hits.offsets)), to_array(std::move(hits.words)),
                        to_array(std::move(hits.counts)));
}

py::tuple spans(const Matcher& matcher, const Array<std::uint8_t>& data, const Array<std::int64_t>& offsets) {
  const ByteTable documents = byte_table(data, offsets, "spans: documents");
  Spans found;
  {
    const py::gil_scoped_release release;
    found = matcher.spans(documents);
  }
  return py::make_tuple(to_array(std::move(found.documents)), to_array(std::move(found.words)),
                        to_array(std::move(found.begins)), to_array(std::move(found.ends)));
}

}  // namespace

void register_matcher(py::module_& m) {
  py::class_<Matcher>(m, "Matcher", "Finds the words of a watch list in UTF-8 text.")
      .def(py::init(&make_matcher), py::arg("words").noconvert(), py::arg("offsets").noconvert(),
           py::arg("normalizer"), py::arg("classes").noconvert())
      .def("match", &match, py::arg("documents").noconvert(), py::arg("offsets").noconvert(),
           "The words of each document: offsets (N + 1) int64, word ids int32, occurrences int32.")
      .def("spans", &spans, py::arg("documents").noconvert(), py::arg("offsets").noconvert(),
           "Each occurrence: document int64, word id int32, begin and end int64 in code points of the document.")
      .def("__len__", &Matcher::size)
      .def_property_readonly("nbytes", &Matcher::bytes, "Memory that the matcher holds, in bytes.");
}

}  // namespace pivotkit
