#include "matcher/token_pieces.h"

#include <algorithm>

namespace pivotkit {

Pieces text_pieces(const ByteTable& documents, PieceKind kind) {
  Pieces pieces;
  std::vector<std::int64_t> starts;
  for (std::size_t d = 0; d < documents.size; ++d) {
    const std::int64_t begin = documents.offsets[d], end = documents.offsets[d + 1];
    starts.clear();
    append_piece_starts(documents.data + begin, static_cast<std::size_t>(end - begin), kind, starts);
    for (const std::int64_t start : starts) pieces.offsets.push_back(begin + start);
    if (end > begin) pieces.offsets.push_back(end);
    pieces.firsts.push_back(static_cast<std::int64_t>(pieces.offsets.size()) - 1);
  }
  return pieces;
}

template <class Id>
Pieces token_pieces(const TokenDocuments<Id>& documents, const ByteTable& texts, PieceKind kind) {
  check_tokens("token_pieces", documents, texts.size);
  Pieces pieces;
  std::vector<std::uint8_t> text;
  std::vector<std::int64_t> begins, starts;  // where each token begins in the text; where pieces do
  for (std::size_t d = 0; d < documents.size; ++d) {
    const std::int64_t begin = documents.offsets[d], end = documents.offsets[d + 1];
    text.clear();
    begins.clear();
    starts.clear();
    for (std::int64_t i = begin; i < end; ++i) {
      const Bytes written = texts[documents.ids[i]];
      begins.push_back(static_cast<std::int64_t>(text.size()));
      text.insert(text.end(), written.data, written.data + written.size);
    }
    append_piece_starts(text.data(), text.size(), kind, starts);
    for (const std::int64_t start : starts) {
      const auto behind = std::upper_bound(begins.begin(), begins.end(), start);
      pieces.offsets.push_back(begin + (behind - begins.begin()) - 1);
    }
    if (end > begin) pieces.offsets.push_back(end);
    pieces.firsts.push_back(static_cast<std::int64_t>(pieces.offsets.size()) - 1);
  }
  return pieces;
}

template Pieces token_pieces(const TokenDocuments<std::uint16_t>&, const ByteTable&, PieceKind);
template Pieces token_pieces(const TokenDocuments<std::uint32_t>&, const ByteTable&, PieceKind);

}  // namespace pivotkit
