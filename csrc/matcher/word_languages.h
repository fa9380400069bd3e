// From spellings that were found to the watched words that they are in the languages of the document.
//
// A watched word may have a language: it is there only where the document's set of languages holds that language. So a
// spelling that two languages share may be two words, of which a document contains none, one or both. Languages are
// bits; a word without a language is there in every document.
#pragma once

#include <cstddef>
#include <cstdint>

#include "matcher/hits.h"

namespace pivotkit {

// The words of each spelling: those of spelling s are words[offsets[s] .. offsets[s + 1]). languages[i] is the bit of
// the language of words[i], or all bits.
struct SpelledWords {
  const std::int64_t* offsets;
  const std::int32_t* words;
  const std::uint64_t* languages;
  std::size_t spellings;
};

// The words of documents, from the spellings in them: spellings[offsets[d] .. offsets[d + 1]) are the distinct ones of
// document d, counts[] their occurrences, languages[d] the bits of its languages. Words come in the order of their
// spellings. With `places` of the spellings, `word_places` are those of the words; both may be null. Throws
// std::out_of_range for a spelling that there is not.
Hits words_in_languages(const SpelledWords& spelled, const std::uint64_t* languages, const std::int64_t* offsets,
                        const std::int32_t* spellings, const std::int32_t* counts, std::size_t documents,
                        const Occurrences* places, Occurrences* word_places);

}  // namespace pivotkit
