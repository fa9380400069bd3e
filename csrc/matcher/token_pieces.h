// Documents of token ids in lines or in sentences of the text that the tokens write (unicode/text_pieces.h).
//
// A piece begins with the token that writes its first character; the rest of that token is the new piece's too.
#pragma once

#include <cstdint>
#include <vector>

#include "common/byte_table.h"
#include "common/token_documents.h"
#include "unicode/text_pieces.h"

namespace pivotkit {

// Piece p has the tokens ids[offsets[p] .. offsets[p + 1]), document d the pieces [firsts[d], firsts[d + 1]). A
// document without tokens has no piece. Two pieces may begin in one token: the first of them is empty then.
struct Pieces {
  std::vector<std::int64_t> offsets{0};
  std::vector<std::int64_t> firsts{0};
};

// The pieces of documents of text.
Pieces text_pieces(const ByteTable& documents, PieceKind kind);

// Those of documents of ids; texts[t] is what token t writes. Throws std::out_of_range for an id without a text.
template <class Id>
Pieces token_pieces(const TokenDocuments<Id>& documents, const ByteTable& texts, PieceKind kind);

}  // namespace pivotkit
