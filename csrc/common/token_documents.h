// Documents of token ids as they lie in a pre-training file: document d is ids[offsets[d] .. offsets[d + 1]).
//
// `Id` is the type in the file, uint16 or uint32. Ids are read in place and never widened.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>

#include "common/require.h"

namespace pivotkit {

template <class Id>
struct TokenDocuments {
  const Id* ids;
  const std::int64_t* offsets;  // (size + 1), from 0, never decreasing: check_offsets proves it
  std::size_t size;

  std::size_t tokens() const noexcept { return static_cast<std::size_t>(offsets[size]); }
};

// Throws std::out_of_range unless every id is below `vocabulary`. The maximum over the whole array takes one vector
// instruction per many ids; the place of a bad id is looked for only when there is one.
template <class Id>
void check_tokens(const std::string& function, const TokenDocuments<Id>& documents, std::size_t vocabulary) {
  const std::size_t count = documents.tokens();
  Id largest = 0;
  for (std::size_t i = 0; i < count; ++i) largest = documents.ids[i] > largest ? documents.ids[i] : largest;
  if (count == 0 || largest < vocabulary) return;
  std::size_t at = 0;
  while (documents.ids[at] < vocabulary) ++at;
  refuse<std::out_of_range>(function, "tokens", text("be ids in [0, ", vocabulary, ")"),
                            text(documents.ids[at], " at ", at));
}

}  // namespace pivotkit
