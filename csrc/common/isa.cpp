#include "common/isa.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>

#include "common/require.h"

#ifdef PIVOTKIT_ARM64
#if defined(__linux__)
#include <sys/auxv.h>
#elif defined(__APPLE__)
#include <sys/sysctl.h>
#endif
#endif
#ifdef PIVOTKIT_X86
#include <cpuid.h>
#endif
#ifdef PIVOTKIT_AMX
#ifdef __linux__
#include <sys/syscall.h>
#include <unistd.h>
#endif
#endif

namespace pivotkit {

namespace {

constexpr Isa kAll[] = {Isa::scalar,   Isa::neon,   Isa::neondot,    Isa::neoni8mm,   Isa::neonbf16, Isa::avx2,
                        Isa::avx2vnni, Isa::avx512, Isa::avx512vnni, Isa::avx512bf16, Isa::amx};

#ifdef PIVOTKIT_ARM64

// What the system tells of the processor.
enum class Feature { dot, i8mm, bf16 };

#if defined(__linux__)
bool has(Feature feature) {
  switch (feature) {
    case Feature::dot:
      return (getauxval(AT_HWCAP) & 1u << 20) != 0;  // HWCAP_ASIMDDP
    case Feature::i8mm:
      return (getauxval(AT_HWCAP2) & 1u << 13) != 0;  // HWCAP2_I8MM
    default:
      return (getauxval(AT_HWCAP2) & 1u << 14) != 0;  // HWCAP2_BF16
  }
}
#elif defined(__APPLE__)
bool has(Feature feature) {
  const char* name = feature == Feature::dot    ? "hw.optional.arm.FEAT_DotProd"
                     : feature == Feature::i8mm ? "hw.optional.arm.FEAT_I8MM"
                                                : "hw.optional.arm.FEAT_BF16";
  int value = 0;
  std::size_t size = sizeof value;
  return sysctlbyname(name, &value, &size, nullptr, 0) == 0 && value != 0;
}
#else
bool has(Feature) { return false; }
#endif

#endif

#ifdef PIVOTKIT_AVX2VNNI

// VNNI in 256 bits, without AVX-512.
bool has_avx_vnni() {
  unsigned eax, ebx, ecx, edx;
  return __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) != 0 && (eax & 1u << 4) != 0;
}

#endif

#ifdef PIVOTKIT_AMX

// Reads the bits of AMX itself: not every compiler knows its name in __builtin_cpu_supports.
bool has_tiles() {
  unsigned eax, ebx, ecx, edx;
  constexpr unsigned kXsaveByTheSystem = 1u << 27;
  constexpr unsigned kTiles = 1u << 24, kBfloat16 = 1u << 22, kInt8 = 1u << 25, kAll = kTiles | kBfloat16 | kInt8;
  if (__get_cpuid(1, &eax, &ebx, &ecx, &edx) == 0 || (ecx & kXsaveByTheSystem) == 0) return false;
  if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) == 0 || (edx & kAll) != kAll) return false;
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

#else

bool system_has_tiles() { return false; }

#endif

#endif

bool supports(Isa isa) {
  switch (isa) {
    case Isa::scalar:
      return true;
#ifdef PIVOTKIT_ARM64
    case Isa::neon:
      return true;
#endif
#ifdef PIVOTKIT_NEONDOT
    case Isa::neondot:
      return has(Feature::dot);
#endif
#ifdef PIVOTKIT_NEONI8MM
    case Isa::neoni8mm:
      return has(Feature::dot) && has(Feature::i8mm);
    case Isa::neonbf16:
      return supports(Isa::neoni8mm) && has(Feature::bf16);
#endif
#ifdef PIVOTKIT_X86
    // __builtin_cpu_supports also asks whether the operating system saves the wide registers.
    case Isa::avx2:
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
#endif
#ifdef PIVOTKIT_AVX2VNNI
    case Isa::avx2vnni:
      return supports(Isa::avx2) && has_avx_vnni();
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
      return supports(Isa::avx512bf16) && has_tiles() && system_has_tiles();
#endif
    default:
      return false;
  }
}

template <class Isas>
std::string names(const Isas& isas) {
  std::string list;
  for (const Isa isa : isas) list += (list.empty() ? "" : ", ") + std::string(isa_name(isa));
  return list;
}

std::string wanted_isa(const std::string& name) {
  const char* variable = std::getenv("PIVOTKIT_ISA");
  return !name.empty() ? name : variable != nullptr ? variable : "";
}

}  // namespace

const char* isa_name(Isa isa) {
  switch (isa) {
    case Isa::neon:
      return "neon";
    case Isa::neondot:
      return "neondot";
    case Isa::neoni8mm:
      return "neoni8mm";
    case Isa::neonbf16:
      return "neonbf16";
    case Isa::avx2:
      return "avx2";
    case Isa::avx2vnni:
      return "avx2vnni";
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

bool isa_is_default(const std::string& name) { return wanted_isa(name).empty(); }

Isa select_isa(const std::string& name) {
  const std::vector<Isa>& here = supported_isas();
  const std::string wanted = wanted_isa(name);
  if (wanted.empty()) return here.back() == Isa::amx ? here[here.size() - 2] : here.back();
  for (const Isa isa : kAll) {
    if (wanted != isa_name(isa)) continue;
    if (std::find(here.begin(), here.end(), isa) != here.end()) return isa;
    refuse<BackendUnavailable>("select_isa", "PIVOTKIT_ISA", "be present on this machine (" + names(here) + ")",
                               wanted);
  }
  refuse("select_isa", "PIVOTKIT_ISA", "be one of " + names(kAll), wanted);
}

// Linux gives the 8 KiB of tile state only to a process that asks; then all its threads may use tiles. Asking makes the
// frames of signals larger for good.
bool request_tiles() {
#if defined(PIVOTKIT_AMX) && defined(__linux__)
  constexpr long kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

}  // namespace pivotkit
