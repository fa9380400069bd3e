// Languages of segments: NumPy arrays in, NumPy arrays out, the GIL released round the compute.
#include <cstdint>
#include <memory>

#include "bindings/arrays.h"
#include "bindings/locked.h"
#include "bindings/register.h"
#include "common/require.h"
#include "languages/segment_reader.h"

namespace pivotkit {
namespace {

// A reader and the arrays that it reads.
struct KeptReader {
  Array<std::uint32_t> moves;
  Array<std::uint16_t> rows;
  Array<std::int32_t> outputs;
  Array<float> features, priors, handicaps;
  Array<std::uint8_t> letters;
  Locked<SegmentReader> reader;
};

std::unique_ptr<KeptReader> make_reader(const Array<std::uint32_t>& moves, const Array<std::uint16_t>& rows,
                                        const Array<std::int32_t>& outputs, const Array<float>& features,
                                        const Array<float>& priors, const Array<float>& handicaps,
                                        const Array<std::uint8_t>& letters) {
  const std::string name = "SegmentReader";
  if (moves.ndim() != 2 || moves.shape(1) != 256) refuse(name, "moves", "have shape (rows, 256)", "another");
  if (features.ndim() != 2) refuse(name, "features", "have two dimensions", features.ndim());
  const auto classes = static_cast<std::size_t>(features.shape(1));
  const std::size_t states = length(rows, name, "rows");
  if (length(outputs, name, "outputs") != states) refuse(name, "outputs", "be as many as rows", outputs.shape(0));
  for (const Array<float>* of_classes : {&priors, &handicaps})
    if (length(*of_classes, name, "priors and handicaps") != classes)
      refuse(name, "priors and handicaps", text("be ", classes), of_classes->shape(0));
  const LanguageModel model{moves.data(),   rows.data(),
                            outputs.data(), features.data(),
                            priors.data(),  handicaps.data(),
                            letters.data(), static_cast<std::size_t>(moves.shape(0)),
                            states,         static_cast<std::size_t>(features.shape(0)),
                            classes,        length(letters, name, "letters")};
  return std::unique_ptr<KeptReader>(
      new KeptReader{moves, rows, outputs, features, priors, handicaps, letters, Locked<SegmentReader>(model)});
}

py::tuple read_segments(KeptReader& kept, const Array<std::uint8_t>& data, const Array<std::int64_t>& offsets,
                        std::int64_t half, float lead) {
  const ByteTable segments = byte_table(data, offsets, "read", "segments");
  SegmentLanguages found = kept.reader.run([&](SegmentReader& reader) { return reader.read(segments, half, lead); });
  return to_arrays(found.first, found.second, found.first_letters, found.second_letters);
}

}  // namespace

void register_languages(py::module_& m) {
  py::class_<KeptReader>(m, "SegmentReader", "Tells the language of segments of text, by the model of langid.py.")
      .def(py::init(&make_reader), py::arg("moves").noconvert(), py::arg("rows").noconvert(),
           py::arg("outputs").noconvert(), py::arg("features").noconvert(), py::arg("priors").noconvert(),
           py::arg("handicaps").noconvert(), py::arg("letters").noconvert())
      .def("read", &read_segments, py::arg("segments").noconvert(), py::arg("offsets").noconvert(), py::arg("half"),
           py::arg("lead"), "First and second class (int32, -1 for none) and bytes of their letters (int64).");
}

}  // namespace pivotkit
