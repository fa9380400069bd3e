// Normalization of text: NumPy arrays in, NumPy arrays out, the GIL released round the compute.
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bindings/arrays.h"
#include "bindings/register.h"
#include "common/require.h"
#include "unicode/normalizer.h"

namespace pivotkit {
namespace {

using Texts = std::tuple<Array<std::uint32_t>, Array<std::int64_t>, Array<std::uint32_t>>;

CodePointTexts code_point_texts(const Texts& texts, const std::string& argument) {
  const auto& [codes, offsets, values] = texts;
  const std::size_t count =
      rows_of(offsets, length(values, "Normalizer", argument + " texts"), "Normalizer", argument + " offsets");
  if (length(codes, "Normalizer", argument + " codes") != count)
    refuse("Normalizer", argument + " codes", "hold one code point for each text", codes.shape(0));
  return {codes.data(), offsets.data(), values.data(), count};
}

std::shared_ptr<Normalizer> make_normalizer(const Array<std::uint8_t>& combining, const Texts& decompositions,
                                            const Texts& foldings, const Array<std::uint32_t>& compositions,
                                            const Array<std::uint8_t>& roles) {
  if (length(combining, "Normalizer", "combining") != kCodePoints)
    refuse("Normalizer", "combining", "hold one byte for each of 1114112 code points", combining.shape(0));
  if (length(roles, "Normalizer", "roles") != kCodePoints)
    refuse("Normalizer", "roles", "hold one byte for each of 1114112 code points", roles.shape(0));
  if (compositions.ndim() != 2 || compositions.shape(1) != 3)
    refuse("Normalizer", "compositions", "have shape (pairs, 3)", "another");
  const UnicodeData data{
      combining.data(),    code_point_texts(decompositions, "decompositions"), code_point_texts(foldings, "foldings"),
      compositions.data(), static_cast<std::size_t>(compositions.shape(0)),    roles.data()};
  const py::gil_scoped_release release;
  return std::make_shared<Normalizer>(data);
}

py::tuple normalize(const Normalizer& normalizer, const Array<std::uint8_t>& data, const Array<std::int64_t>& offsets) {
  const ByteTable texts = byte_table(data, offsets, "normalize", "texts");
  std::vector<std::uint8_t> bytes;
  std::vector<std::int64_t> ends{0};
  {
    const py::gil_scoped_release release;
    NormalizedText out;
    ends.reserve(texts.size + 1);
    bytes.reserve(length(data, "normalize", "texts"));
    for (std::size_t i = 0; i < texts.size; ++i) {
      normalizer.normalize(texts[i], out);
      bytes.insert(bytes.end(), out.bytes().data, out.bytes().data + out.bytes().size);
      ends.push_back(static_cast<std::int64_t>(bytes.size()));
    }
  }
  return py::make_tuple(to_array(std::move(bytes)), to_array(std::move(ends)));
}

}  // namespace

void register_unicode(py::module_& m) {
  py::class_<Normalizer, std::shared_ptr<Normalizer>>(m, "Normalizer", "The normal form of UTF-8 text.")
      .def(py::init(&make_normalizer), py::arg("combining").noconvert(), py::arg("decompositions"), py::arg("foldings"),
           py::arg("compositions").noconvert(), py::arg("roles").noconvert())
      .def("normalize", &normalize, py::arg("texts").noconvert(), py::arg("offsets").noconvert(),
           "Each text's normal form, packed alike: bytes uint8 and offsets int64.")
      .def_property_readonly("nbytes", &Normalizer::bytes, "Memory that the tables hold, in bytes.");
}

}  // namespace pivotkit
