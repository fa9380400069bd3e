// Instruction sets: which ones this build and this machine have, and which one runs.
#pragma once

#include <string>
#include <vector>

namespace pivotkit {

// Ascending: the last supported one is the default, but for `amx`, which must be asked for. `scalar` is the compiler's
// baseline for the platform; every 64-bit ARM has `neon`. `avx512bf16` and `amx` differ from `avx512vnni` only where
// bfloat16 meets bfloat16.
enum class Isa { scalar, neon, avx2, avx512, avx512vnni, avx512bf16, amx };

const char* isa_name(Isa isa);

// The instruction sets that this machine can run, ascending.
const std::vector<Isa>& supported_isas();

// The one named, or for an empty name the one in the environment variable PIVOTKIT_ISA, or else the default.
// Throws std::invalid_argument for an unknown name and BackendUnavailable for one that is absent here.
Isa select_isa(const std::string& name);

}  // namespace pivotkit
