// One function per room of csrc, each in its bind_<room>.cpp.
#pragma once

#include <pybind11/pybind11.h>

namespace pivotkit {
void register_counting(pybind11::module_& m);
void register_documents(pybind11::module_& m);
void register_languages(pybind11::module_& m);
void register_matcher(pybind11::module_& m);
void register_postings(pybind11::module_& m);
void register_rows(pybind11::module_& m);
void register_token_graph(pybind11::module_& m);
void register_unembed(pybind11::module_& m);
void register_unicode(pybind11::module_& m);
}  // namespace pivotkit
