// One function per kernel, each in its bind_<kernel>.cpp.
#pragma once

#include <pybind11/pybind11.h>

void register_unembed(pybind11::module_& m);
