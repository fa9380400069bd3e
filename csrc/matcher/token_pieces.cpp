#include "matcher/token_pieces.h"

#include <algorithm>

namespace pivotkit {
namespace {

constexpr std::size_t kPart = std::size_t{1} << 16;  // bytes of text that are written together

}  // namespace

Pieces text_pieces(const ByteTable& documents, PieceKind kind) {
  Pieces pieces;
  std::vector<std::int64_t> starts;
  TextCutter cutter(kind);
  for (std::size_t d = 0; d < documents.size; ++d) {
    const Bytes text = documents[d];
    starts.clear();
    cutter.take(text.data, text.size, true, starts);
    for (const std::int64_t start : starts) pieces.offsets.push_back(documents.offsets[d] + start);
    if (text.size > 0) pieces.offsets.push_back(documents.offsets[d + 1]);
    pieces.firsts.push_back(static_cast<std::int64_t>(pieces.offsets.size()) - 1);
  }
  return pieces;
}

template <class Id>
Pieces token_pieces(const TokenDocuments<Id>& documents, const ByteTable& texts, PieceKind kind) {
  check_tokens("token_pieces", documents, texts.size);
  Pieces pieces;
  std::vector<std::uint8_t> text;            // of some tokens
  std::vector<std::int64_t> begins, starts;  // where each token begins in the text; where pieces do
  TextCutter cutter(kind);
  for (std::size_t d = 0; d < documents.size; ++d) {
    const std::int64_t begin = documents.offsets[d], end = documents.offsets[d + 1];
    std::int64_t first = begin;  // the token of begins[0]
    text.clear();
    begins.clear();
    for (std::int64_t i = begin; i < end; ++i) {
      const Bytes written = texts[documents.ids[i]];
      begins.push_back(static_cast<std::int64_t>(text.size()));
      text.insert(text.end(), written.data, written.data + written.size);
      if (text.size() < kPart && i + 1 < end) continue;
      starts.clear();
      const auto taken = static_cast<std::int64_t>(cutter.take(text.data(), text.size(), i + 1 == end, starts));
      const auto token_at = [&](std::int64_t place) {
        return std::upper_bound(begins.begin(), begins.end(), place) - begins.begin() - 1;
      };
      for (const std::int64_t start : starts) pieces.offsets.push_back(first + token_at(start));
      // What is left belongs to the tokens from that of its first byte on.
      const std::int64_t kept = token_at(taken);
      text.erase(text.begin(), text.begin() + taken);
      begins.erase(begins.begin(), begins.begin() + kept);
      for (std::int64_t& place : begins) place -= taken;
      first += kept;
    }
    if (end > begin) pieces.offsets.push_back(end);
    pieces.firsts.push_back(static_cast<std::int64_t>(pieces.offsets.size()) - 1);
  }
  return pieces;
}

template Pieces token_pieces(const TokenDocuments<std::uint16_t>&, const ByteTable&, PieceKind);
template Pieces token_pieces(const TokenDocuments<std::uint32_t>&, const ByteTable&, PieceKind);

}  // namespace pivotkit
