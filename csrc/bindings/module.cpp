// pivotkit._C: one register_* call for each kernel.
#include <pybind11/pybind11.h>

namespace py = pybind11;

namespace pivotkit {
void register_cooccurrence(py::module_& m);
}

PYBIND11_MODULE(_C, m, py::mod_gil_not_used()) {
  m.doc() = "Native kernels of pivotkit. Use them through pivotkit.kernels and pivotkit.corpus.";
  pivotkit::register_cooccurrence(m);
}
