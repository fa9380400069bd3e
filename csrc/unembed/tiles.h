// Whether AMX's tiles may be used in this process, and the instruction set of a request that they would serve.
#pragma once

#include <string>

#include "common/isa.h"

namespace pivotkit {

enum class Tiles {
  absent,   // this build or this processor has none
  refused,  // the system gives this process no room for them: a container, an old kernel, a small signal stack
  wrong,    // they run, and give wrong answers
  ready,
};

// Asks the system and then tests the tiles, once per process and within a millisecond. A forked child keeps the answer
// together with the permission; a program that is executed anew asks anew.
Tiles tiles();

const char* tiles_told(Tiles state);

// Whether a small panel in tiles has the bits of AVX-512 in int8, and in bfloat16 what avx512bf16 gives within
// rounding. The system must have permitted tiles.
bool tiles_pass();

// The instruction set named by `name`, else by the environment variable PIVOTKIT_ISA, else the default; if that is
// left to us and `wants_tiles`, amx where tiles() are ready. Throws as select_isa() does, and BackendUnavailable for
// amx where they are not.
Isa unembed_isa(const std::string& name, bool wants_tiles);

}  // namespace pivotkit
