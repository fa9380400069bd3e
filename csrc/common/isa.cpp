#include "common/isa.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>

#include "common/require.h"

#ifdef PIVOTKIT_AMX
#include <cpuid.h>
#ifdef __linux__
#include <sys/syscall.h>
#include <unistd.h>
#endif
#endif

namespace pivotkit {

namespace {

constexpr Isa kAll[] = {Isa::scalar, Isa::neon, Isa::avx2, Isa::avx512, Isa::avx512vnni, Isa::avx512bf16, Isa::amx};

#ifdef PIVOTKIT_AMX

// Reads the bits of AMX itself: not every compiler knows its name in __builtin_cpu_supports.
bool has_bfloat16_tiles() {
  unsigned eax, ebx, ecx, edx;
  constexpr unsigned kXsaveByTheSystem = 1u << 27, kBfloat16 = 1u << 22, kTiles = 1u << 24;
  if (__get_cpuid(1, &eax, &ebx, &ecx, &edx) == 0 || (ecx & kXsaveByTheSystem) == 0) return false;
  if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) == 0 || (edx & kBfloat16) == 0 || (edx & kTiles) == 0)
    return false;
  constexpr unsigned kSaved = 3u << 17;  // the system saves the tiles' configuration and their data
  asm("xgetbv" : "=a"(eax), "=d"(edx) : "c"(0));
  return (eax & kSaved) == kSaved;
}

#ifdef __linux__

constexpr long kTileData = 18;  // XFEATURE_XTILEDATA

bool system_has_tiles() {
  constexpr long kSupportedStates = 0x1021;  // ARCH_GET_XCOMP_SUPP
  std::uint64_t states = 0;
  return syscall(SYS_arch_prctl, kSupportedStates, &states) == 0 && (states >> kTileData & 1) != 0;
}

// Linux gives the 8 KiB of tile state only to a process that asks; then all its threads may use tiles. Asking makes the
// frames of signals larger for good, so only a user who wants tiles asks.
bool request_tiles() {
  constexpr long kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

#else

bool system_has_tiles() { return false; }
bool request_tiles() { return false; }

#endif

#else

bool request_tiles() { return false; }

#endif

bool supports(Isa isa) {
  switch (isa) {
    case Isa::scalar:
      return true;
#ifdef PIVOTKIT_ARM64
    case Isa::neon:
      return true;
#endif
#ifdef PIVOTKIT_X86
    // __builtin_cpu_supports also asks whether the operating system saves the wide registers.
    case Isa::avx2:
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
#endif
#ifdef PIVOTKIT_AVX512
    case Isa::avx512:
      return supports(Isa::avx2) && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
    case Isa::avx512vnni:
      return supports(Isa::avx512) && __builtin_cpu_supports("avx512vnni");
#endif
#ifdef PIVOTKIT_AVX512BF16
    case Isa::avx512bf16:
      return supports(Isa::avx512vnni) && __builtin_cpu_supports("avx512bf16");
#endif
#ifdef PIVOTKIT_AMX
    case Isa::amx:
      return supports(Isa::avx512bf16) && has_bfloat16_tiles() && system_has_tiles();
#endif
    default:
      return false;
  }
}

std::string names(const std::vector<Isa>& isas) {
  std::string list;
  for (const Isa isa : isas) list += (list.empty() ? "" : ", ") + std::string(isa_name(isa));
  return list;
}

}  // namespace

const char* isa_name(Isa isa) {
  switch (isa) {
    case Isa::neon:
      return "neon";
    case Isa::avx2:
      return "avx2";
    case Isa::avx512:
      return "avx512";
    case Isa::avx512vnni:
      return "avx512vnni";
    case Isa::avx512bf16:
      return "avx512bf16";
    case Isa::amx:
      return "amx";
    default:
      return "scalar";
  }
}

const std::vector<Isa>& supported_isas() {
  // Asked once: in a virtual machine every question about the processor leaves the machine.
  static const std::vector<Isa> all = [] {
    std::vector<Isa> found;
    for (const Isa isa : kAll)
      if (supports(isa)) found.push_back(isa);
    return found;
  }();
  return all;
}

Isa select_isa(const std::string& name) {
  const std::vector<Isa>& here = supported_isas();
  const char* variable = std::getenv("PIVOTKIT_ISA");
  const std::string wanted = !name.empty() ? name : variable != nullptr ? variable : "";
  // AMX has run only on an emulation so far (tests/native), so a user must ask for it by name.
  if (wanted.empty()) return here.back() == Isa::amx ? here[here.size() - 2] : here.back();
  for (const Isa isa : kAll) {
    if (wanted != isa_name(isa)) continue;
    const bool here_too = std::find(here.begin(), here.end(), isa) != here.end();
    if (here_too && (isa != Isa::amx || request_tiles())) return isa;
    refuse<BackendUnavailable>("select_isa", "PIVOTKIT_ISA", "be present on this machine (" + names(here) + ")",
                               wanted);
  }
  refuse("select_isa", "PIVOTKIT_ISA", "be one of scalar, neon, avx2, avx512, avx512vnni, avx512bf16, amx", wanted);
}

}  // namespace pivotkit
