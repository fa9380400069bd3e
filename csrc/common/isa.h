// Instruction sets: which ones this build and this machine have, and which one runs.
#pragma once

#include <string>
#include <vector>

namespace pivotkit {

// In ascending order. The last supported one is the default, except `amx`, which must be asked for. `scalar` is the
// compiler's baseline for the platform. Every 64-bit ARM has `neon`. `avx512bf16` and `amx` differ from `avx512vnni`
// only in products of bfloat16 and bfloat16.
enum class Isa { scalar, neon, avx2, avx512, avx512vnni, avx512bf16, amx };

const char* isa_name(Isa isa);

// The instruction sets that this machine can run, ascending.
const std::vector<Isa>& supported_isas();

// The instruction set named; for an empty name the one in the environment variable PIVOTKIT_ISA, else the default.
// Throws std::invalid_argument for an unknown name and BackendUnavailable for one that this machine lacks.
Isa select_isa(const std::string& name);

}  // namespace pivotkit
