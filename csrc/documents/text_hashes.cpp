#include "documents/text_hashes.h"

#include "common/hash.h"

namespace pivotkit {

std::vector<std::uint64_t> text_hashes(const ByteTable& texts, std::uint64_t seed) {
  std::vector<std::uint64_t> hashes(texts.size);
  for (std::size_t i = 0; i < texts.size; ++i) hashes[i] = hash_bytes(texts[i].data, texts[i].size, seed);
  return hashes;
}

}  // namespace pivotkit
