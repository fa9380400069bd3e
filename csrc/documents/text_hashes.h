// Seeded hashes of many texts, by which equal scores are ordered.
//
//   equivalent: [hash_bytes(text, seed) for text in texts]      cost: one pass over the bytes
#pragma once

#include <cstdint>
#include <vector>

#include "common/byte_table.h"

namespace pivotkit {

std::vector<std::uint64_t> text_hashes(const ByteTable& texts, std::uint64_t seed);

}  // namespace pivotkit
