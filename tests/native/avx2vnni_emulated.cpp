// The screening on avx2vnni must have the bits of avx2 (avx2vnni_emulation.h).
#include <cstdio>

#include "screening.h"

int main() {
  using pivotkit::Isa;
  bool good = true;
  for (const std::int64_t rows : {1, 5, 6, 7, 40})
    good = screening_agrees(rows, 40 + 9 * rows, 30 + 7 * rows, Isa::avx2, Isa::avx2vnni) && good;
  std::puts(good ? "all equal" : "not equal");
  return good ? 0 : 1;
}
