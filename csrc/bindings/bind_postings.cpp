// Posting files: hits as NumPy arrays in, lists as NumPy arrays out, the GIL released round the work.
#include <pybind11/stl.h>

#include <cstdint>
#include <string>

#include "bindings/arrays.h"
#include "bindings/locked.h"
#include "bindings/register.h"
#include "common/require.h"
#include "postings/posting_file.h"

namespace pivotkit {
namespace {

using Writer = Locked<PostingWriter>;

void add_postings(Writer& writer, const Array<std::int64_t>& offsets, const Array<std::int32_t>& words,
                  const Array<std::int32_t>& counts, const Array<std::int64_t>& rows) {
  const std::size_t total = length(words, "add", "words");
  if (length(counts, "add", "counts") != total) refuse("add", "counts", "be as many as words", counts.shape(0));
  const std::size_t size = rows_of(offsets, total, "add", "offsets");
  if (length(rows, "add", "rows") != size) refuse("add", "rows", text("be ", size, " documents"), rows.shape(0));
  writer.run([&](PostingWriter& to) { to.add(offsets.data(), words.data(), counts.data(), rows.data(), size); });
}

py::tuple read_postings(const PostingFile& file, std::size_t run, std::size_t first, std::size_t last) {
  PostingLists lists;
  {
    const py::gil_scoped_release release;
    lists = file.read(run, first, last);
  }
  return to_arrays(lists.words, lists.rows, lists.counts);
}

}  // namespace

void register_postings(py::module_& m) {
  py::class_<Writer>(m, "PostingWriter", "Writes which documents contain each word, and how often.")
      .def(py::init([](const std::string& path, std::size_t words, std::size_t run_hits) {
             return std::make_unique<Writer>(path, words, run_hits, kPostingFileBuffer);
           }),
           py::arg("path"), py::arg("words"), py::arg("run_hits"))
      .def("add", &add_postings, py::arg("offsets").noconvert(), py::arg("words").noconvert(),
           py::arg("counts").noconvert(), py::arg("rows").noconvert(), "Take the hits of documents.")
      .def(
          "finish", [](Writer& w) { return w.run([](PostingWriter& writer) { return writer.finish(); }); },
          "Write what waits; the bytes of the file.");

  py::class_<PostingFile>(m, "PostingFile", "Reads what a PostingWriter wrote; CorpusError where it is damaged.")
      .def(py::init<const std::string&, std::size_t>(), py::arg("path"), py::arg("words"))
      .def("read", &read_postings, py::arg("run"), py::arg("first"), py::arg("last"),
           "The hits of words [first, last) in a run: word ids int32, rows int32, occurrences int64.")
      .def_property_readonly("runs", &PostingFile::runs)
      .def_property_readonly("digest", &PostingFile::digest);
}

}  // namespace pivotkit
