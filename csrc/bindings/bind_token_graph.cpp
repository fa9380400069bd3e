// The token graph: NumPy arrays in, files out, the GIL released round the compute.
#include <pybind11/stl.h>

#include <cmath>
#include <cstdint>
#include <exception>
#include <memory>
#include <string>
#include <utility>

#include "bindings/arrays.h"
#include "bindings/locked.h"
#include "bindings/register.h"
#include "common/file.h"
#include "common/require.h"
#include "token_graph/token_graph.h"

namespace pivotkit {
namespace {

using Counter = Locked<TokenGraphCounter>;

std::unique_ptr<Counter> make_counter(std::size_t vocabulary, const Array<std::int64_t>& weights, bool symmetric,
                                      std::size_t memory, std::string folder, std::size_t fan_in) {
  const std::size_t window = length(weights, "TokenGraphCounter", "weights");
  return std::make_unique<Counter>(TokenGraphOptions{
      vocabulary, {{weights.data(), weights.data() + window}, symmetric}, memory, std::move(folder), fan_in});
}

void add(Counter& counter, const py::array& ids, const Array<std::int64_t>& offsets, bool continued) {
  with_tokens("add", ids, offsets, [&](const auto& documents) {
    counter.run(
        [&](TokenGraphCounter& counts) { counts.add(documents.ids, documents.offsets, documents.size, continued); });
  });
}

void add_rows(Counter& counter, std::size_t first_row, const Array<std::int64_t>& offsets,
              const Array<std::int32_t>& columns, const Array<std::int64_t>& totals) {
  const std::size_t cells = length(columns, "add_rows", "columns");
  if (length(totals, "add_rows", "totals") != cells)
    refuse("add_rows", "totals", "be as many as columns", totals.shape(0));
  const std::size_t rows = rows_of(offsets, cells, "add_rows", "offsets");
  counter.run([&](TokenGraphCounter& counts) {
    counts.add_rows(first_row, rows, offsets.data(), columns.data(), totals.data());
  });
}

py::dict seconds(const Counter& counter) {
  const TokenGraphSeconds& spent = counter.object.seconds();
  py::dict found;
  found["fill"] = spent.fill;
  found["index"] = spent.index;
  found["rows"] = spent.rows;
  found["merge"] = spent.merge;
  found["write"] = spent.write;
  return found;
}

// w(1) .. w(window) by a C function double(int64), which Numba's cfunc gives the address of.
py::array_t<double> call_by_distance(std::uintptr_t address, std::size_t window) {
  if (address == 0) refuse("call_by_distance", "address", "be a function's", "0");
  const auto function = reinterpret_cast<double (*)(std::int64_t)>(address);  // NOLINT: the C calling convention's
  std::vector<double> weights(window);
  for (std::size_t i = 0; i < window; ++i) weights[i] = function(static_cast<std::int64_t>(i) + 1);
  return to_array(std::move(weights));
}

}  // namespace

void register_token_graph(py::module_& m) {
  py::register_exception_translator([](std::exception_ptr error) {
    try {
      if (error) std::rethrow_exception(error);
    } catch (const FileError& failed) {
      PyErr_SetObject(
          PyExc_OSError,
          py::make_tuple(failed.code, py::module_::import("os").attr("strerror")(failed.code), failed.path).ptr());
    } catch (const CorruptFile& corrupt) {
      const py::object kind = py::module_::import("pivotkit.errors").attr("CorpusError");
      PyErr_SetObject(kind.ptr(), kind(corrupt.path, corrupt.place, corrupt.problem).ptr());
    }
  });
  m.def("call_by_distance", &call_by_distance, py::arg("address"), py::arg("window"),
        "The values of a C function double(int64) at 1 .. window, float64.");
  py::class_<Counter>(m, "TokenGraphCounter", "Sums weights of pairs of tokens within a window, in bounded memory.")
      .def(py::init(&make_counter), py::arg("vocabulary"), py::arg("weights").noconvert(), py::arg("symmetric"),
           py::arg("memory"), py::arg("folder"), py::arg("fan_in") = 64)
      .def("add", &add, py::arg("ids").noconvert(), py::arg("offsets").noconvert(), py::arg("continued") = false,
           "Count documents of token ids.")
      .def("add_rows", &add_rows, py::arg("first_row"), py::arg("offsets").noconvert(), py::arg("columns").noconvert(),
           py::arg("totals").noconvert(), "Add rows of another graph.")
      .def(
          "spill", [](Counter& c) { c.run([](TokenGraphCounter& counts) { counts.spill(); }); },
          "Write what is in memory as a run.")
      .def(
          "finish",
          [](Counter& c, const std::string& columns, const std::string& totals, const std::string& offsets) {
            return c.run([&](TokenGraphCounter& counts) { return counts.finish({columns, totals, offsets}); });
          },
          py::arg("columns"), py::arg("totals"), py::arg("offsets"), "Write the graph; the number of its cells.")
      .def_property_readonly("documents", [](const Counter& c) { return c.object.documents(); })
      .def_property_readonly("tokens", [](const Counter& c) { return c.object.tokens(); })
      .def_property_readonly("runs", [](const Counter& c) { return c.object.runs(); })
      .def_property_readonly("spilled_bytes", [](const Counter& c) { return c.object.spilled_bytes(); })
      .def_property_readonly("seconds", &seconds);
}

}  // namespace pivotkit
