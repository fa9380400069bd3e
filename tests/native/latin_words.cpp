// The words and the other bytes of each 64 bytes of the standard input, two numbers a line.
#include "matcher/latin_words.h"

#include <cinttypes>
#include <cstdio>

int main() {
  std::uint8_t bytes[pivotkit::LatinWords::kBytes];
  while (std::fread(bytes, 1, sizeof bytes, stdin) == sizeof bytes) {
    const pivotkit::LatinWords found(bytes);
    std::printf("%" PRIu64 " %" PRIu64 "\n", found.words, found.others);
  }
}
