// Instruction sets: which ones this build and this machine have, and which one runs.
#pragma once

#include <string>
#include <vector>

namespace pivotkit {

// In ascending order. The last supported one is the default, except `amx`: its tiles take the system's permission, so
// what may use them asks unembed_isa() (unembed/tiles.h). `scalar` is the compiler's baseline for the platform. Every
// 64-bit ARM has `neon`. Those whose names begin alike have the same float32 work; they differ in the screening, and
// `neonbf16`, `avx512bf16` and `amx` in products of bfloat16 and bfloat16.
enum class Isa {
  scalar,
  neon,
  neondot,
  neoni8mm,
  neonbf16,
  avx2,
  avx2vnni,
  avx512,
  avx512vnni,
  avx512bf16,
  amx,
};

const char* isa_name(Isa isa);

// The instruction sets that this machine can run, ascending.
const std::vector<Isa>& supported_isas();

// The instruction set named; for an empty name the one in the environment variable PIVOTKIT_ISA, else the default.
// Throws std::invalid_argument for an unknown name and BackendUnavailable for one that this machine lacks.
Isa select_isa(const std::string& name);

// Whether nobody named an instruction set: neither `name` nor PIVOTKIT_ISA.
bool isa_is_default(const std::string& name);

// Asks the system for the tiles of `amx`; false where it gives none.
bool request_tiles();

}  // namespace pivotkit
