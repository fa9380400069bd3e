#include "common/isa.h"

#include <algorithm>
#include <cstdlib>

#include "common/require.h"

namespace pivotkit {

namespace {

constexpr Isa kAll[] = {Isa::scalar, Isa::neon, Isa::avx2, Isa::avx512, Isa::avx512vnni};

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
    case Isa::avx512:
      return supports(Isa::avx2) && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
             __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
    case Isa::avx512vnni:
      return supports(Isa::avx512) && __builtin_cpu_supports("avx512vnni");
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
    default:
      return "scalar";
  }
}

std::vector<Isa> supported_isas() {
  std::vector<Isa> found;
  for (const Isa isa : kAll)
    if (supports(isa)) found.push_back(isa);
  return found;
}

Isa select_isa(const std::string& name) {
  const std::vector<Isa> here = supported_isas();
  const char* variable = std::getenv("PIVOTKIT_ISA");
  const std::string wanted = !name.empty() ? name : variable != nullptr ? variable : "";
  if (wanted.empty()) return here.back();
  for (const Isa isa : kAll) {
    if (wanted != isa_name(isa)) continue;
    if (std::find(here.begin(), here.end(), isa) != here.end()) return isa;
    refuse<BackendUnavailable>("select_isa", "PIVOTKIT_ISA", "be present on this machine (" + names(here) + ")", wanted);
  }
  refuse("select_isa", "PIVOTKIT_ISA", "be one of scalar, neon, avx2, avx512, avx512vnni", wanted);
}

}  // namespace pivotkit
