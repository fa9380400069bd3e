// Row files: their names and limits in, files out, the GIL released round the work.
#include <pybind11/stl.h>

#include <cstdint>
#include <string>
#include <vector>

#include "bindings/register.h"
#include "common/require.h"
#include "rows/csr_writer.h"
#include "rows/row_file.h"
#include "rows/row_merge.h"

namespace py = pybind11;

namespace pivotkit {
namespace {

std::uint64_t merge_to_rows(const std::vector<std::string>& paths, std::size_t rows, std::size_t columns,
                            std::size_t memory, const std::string& path) {
  const py::gil_scoped_release release;
  RowFileWriter file(path, rows, kRowFileBuffer);
  merge_row_files(paths, rows, columns, memory, 1, file);
  return file.finish();
}

std::uint64_t merge_to_csr(const std::vector<std::string>& paths, std::size_t rows, std::size_t columns,
                           std::size_t memory, int threads, const std::string& columns_path,
                           const std::string& totals_path, const std::string& offsets_path) {
  if (threads < 1) refuse("merge_to_csr", "threads", "be at least 1", threads);
  const py::gil_scoped_release release;
  CsrWriter table({columns_path, totals_path, offsets_path}, rows, kRowFileBuffer);
  merge_row_files(paths, rows, columns, memory, threads, table);
  table.finish();
  return table.cells();
}

}  // namespace

void register_rows(py::module_& m) {
  m.def("merge_to_rows", &merge_to_rows, py::arg("paths"), py::arg("rows"), py::arg("columns"), py::arg("memory"),
        py::arg("path"), "Add up row files into another; its bytes.");
  m.def("merge_to_csr", &merge_to_csr, py::arg("paths"), py::arg("rows"), py::arg("columns"), py::arg("memory"),
        py::arg("threads"), py::arg("columns_path"), py::arg("totals_path"), py::arg("offsets_path"),
        "Add up row files into compressed sparse rows in three .npy files; the number of cells.");
  m.def(
      "check_rows",
      [](const std::string& path, std::size_t rows, std::size_t columns) {
        const py::gil_scoped_release release;
        check_row_file(path, rows, columns, kRowFileBuffer);
      },
      py::arg("path"), py::arg("rows"), py::arg("columns"),
      "CorpusError unless all of a row file is as it was written.");
}

}  // namespace pivotkit
