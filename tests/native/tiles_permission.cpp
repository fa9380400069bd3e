// What tiles() finds on a processor with AMX and on a system that gives tiles or refuses them, both imitated: the
// questions of common/isa.cpp are answered here. Built together with emulated tiles (amx_emulation.h).
#include <cpuid.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <string>
#include <thread>

namespace imitated {

bool has_int8 = true, gives_tiles = true;
int requests = 0;

inline int cpuid(unsigned, unsigned* eax, unsigned* ebx, unsigned* ecx, unsigned* edx) {
  *eax = *ebx = *edx = 0;
  *ecx = 1u << 27;  // the system saves registers
  return 1;
}
inline int cpuid_count(unsigned, unsigned, unsigned* eax, unsigned* ebx, unsigned* ecx, unsigned* edx) {
  *eax = *ebx = *ecx = 0;
  *edx = 1u << 22 | 1u << 24 | (has_int8 ? 1u << 25 : 0u);
  return 1;
}
inline long system_call(long, long what, std::uint64_t* states) {
  if (what != 0x1021) return -1;  // which states there are
  *states = 1u << 18;
  return 0;
}
inline long system_call(long, long what, long) {
  if (what != 0x1023) return -1;  // permission
  ++requests;
  return gives_tiles ? 0 : -1;
}

}  // namespace imitated

#define __get_cpuid imitated::cpuid
#define __get_cpuid_count imitated::cpuid_count
#define syscall imitated::system_call
#define asm(...) eax = 3u << 17  // the system saves tiles
#include "common/isa.cpp"
#undef asm

#include "unembed/tiles.h"

namespace {

using namespace pivotkit;

int failures = 0;

void expect(bool good, const char* what) {
  if (good) return;
  ++failures;
  std::fprintf(stderr, "FAILED: %s\n", what);
}

std::string refusal_of_amx() {
  try {
    unembed_isa("amx", true);
  } catch (const BackendUnavailable& refusal) {
    return refusal.what();
  }
  return "";
}

void permitted() {
  Tiles in_thread = Tiles::absent;
  expect(unembed_isa("", false) == Isa::avx512bf16, "what needs no tiles does not ask for them");
  expect(imitated::requests == 0, "nobody has asked yet");
  expect(unembed_isa("", true) == Isa::amx, "tiles are the default where they help");
  expect(unembed_isa("avx512", true) == Isa::avx512, "a name wins");
  expect(unembed_isa("amx", false) == Isa::amx, "tiles by name");
  std::thread([&] { in_thread = tiles(); }).join();
  expect(in_thread == Tiles::ready, "a thread knows what another found");
  const pid_t child = fork();
  if (child == 0) _exit(unembed_isa("", true) == Isa::amx && imitated::requests == 1 ? 0 : 1);
  int status = 1;
  waitpid(child, &status, 0);
  expect(status == 0, "a forked child keeps the permission");
  expect(imitated::requests == 1, "the system is asked once");
}

void refused() {
  imitated::gives_tiles = false;
  expect(unembed_isa("", true) == Isa::avx512bf16, "the next instruction set runs");
  expect(tiles() == Tiles::refused, "tiles are refused");
  expect(refusal_of_amx() == "select_isa: PIVOTKIT_ISA must be usable, and tiles are refused by the system; got amx",
         "tiles by name are refused");
  expect(imitated::requests == 1, "the system is asked once");
}

void absent() {
  imitated::has_int8 = false;
  expect(unembed_isa("", true) == Isa::avx512bf16 && tiles() == Tiles::absent, "tiles without int8 are none");
  expect(refusal_of_amx().find("must be present on this machine") != std::string::npos, "and absent by name");
  expect(imitated::requests == 0, "the system is not asked");
}

}  // namespace

int main(int, char** arguments) {
  const std::string way = arguments[1];
  way == "permitted" ? permitted() : way == "refused" ? refused() : absent();
  std::puts(failures == 0 ? "as it should be" : "not as it should be");
  return failures == 0 ? 0 : 1;
}
