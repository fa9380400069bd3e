// The tokens round each word of a document.
//
// A window is `window` consecutive tokens of a document; one begins at each token. A token is round a word if some
// window holds it and a whole occurrence of the word. So the tokens round a word are those of [end - window, start +
// window) over its occurrences [start, end), each token once; an occurrence longer than the window has none.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "common/token_documents.h"
#include "matcher/hits.h"

namespace pivotkit {

// The tokens round each of some hits, one behind another: those of hit i are ids[offsets[i] .. offsets[i + 1]).
template <class Id>
struct WordWindows {
  std::vector<Id> ids;
  std::vector<std::int64_t> offsets{0};
};

// Takes hits from `from` on, at least one, until there are `most` tokens. hit_offsets[d] .. hit_offsets[d + 1] are the
// hits of document d. Throws std::out_of_range for a place outside its document.
template <class Id>
WordWindows<Id> word_windows(const TokenDocuments<Id>& documents, const std::int64_t* hit_offsets,
                             const Occurrences& places, std::int64_t window, std::size_t from, std::size_t most);

}  // namespace pivotkit
