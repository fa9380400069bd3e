// Which kernels answer a call on each instruction set, by the types of its head and its number of rows. Nothing chooses
// by this table: it is read from what chooses (dispatch.h, Products::direct, screen_cost.h).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace pivotkit {

struct Path {
  std::string isa, heads;  // "float32", "bfloat16", "float16": hidden rows and weight
  std::string exact;       // the instruction set of the products
  std::int64_t in_place;   // most rows that read the weight in place; more read a packed tile
  std::string screen;      // that of the screening, empty where it never pays
};

// Of every instruction set that this machine can run, ascending.
std::vector<Path> paths();

}  // namespace pivotkit
