// Where a token is among ids: the ends of documents in a file without an index.
//
//   equivalent: flatnonzero(ids == token)      cost: one vector comparison per many ids, 64 of them a hit
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace pivotkit {

// The places of `token` among ids[0 .. size), ascending. Id is uint16_t or uint32_t.
template <class Id>
std::vector<std::int64_t> token_places(const Id* ids, std::size_t size, Id token);

}  // namespace pivotkit
