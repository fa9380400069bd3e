// pivotkit._C: one register_* call per room.
#include <exception>

#include "bindings/register.h"
#include "common/require.h"

namespace py = pybind11;

PYBIND11_MODULE(_C, m, py::mod_gil_not_used()) {
  m.doc() = "Native kernels of pivotkit. Use them through pivotkit.kernels and pivotkit.corpus.";
  py::register_exception_translator([](std::exception_ptr error) {
    try {
      if (error) std::rethrow_exception(error);
    } catch (const pivotkit::BackendUnavailable& unavailable) {
      py::set_error(py::module_::import("pivotkit.errors").attr("BackendUnavailable"), unavailable.what());
    }
  });
  pivotkit::register_counting(m);
  pivotkit::register_documents(m);
  pivotkit::register_languages(m);
  pivotkit::register_matcher(m);
  pivotkit::register_postings(m);
  pivotkit::register_rows(m);
  pivotkit::register_token_graph(m);
  pivotkit::register_unembed(m);
  pivotkit::register_unicode(m);
}
