// Watch-list matching: NumPy arrays in, NumPy arrays out, the GIL released round the compute.
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "bindings/arrays.h"
#include "bindings/occurrences.h"
#include "bindings/register.h"
#include "common/require.h"
#include "matcher/matcher.h"
#include "matcher/token_matcher.h"
#include "matcher/token_pieces.h"
#include "matcher/word_languages.h"

namespace pivotkit {
namespace {

Matcher make_matcher(const Array<std::uint8_t>& data, const Array<std::int64_t>& offsets,
                     const std::shared_ptr<Normalizer>& normalizer, const Array<std::uint8_t>& letters) {
  if (length(letters, "Matcher", "letters") != kCodePoints)
    refuse("Matcher", "letters", "hold one byte for each of 1114112 code points", letters.shape(0));
  if (!normalizer) refuse("Matcher", "normalizer", "be a Normalizer", "None");
  const ByteTable words = byte_table(data, offsets, "Matcher", "words");
  const py::gil_scoped_release release;
  return Matcher(words, normalizer, letters.data());
}

py::tuple match(const Matcher& matcher, const Array<std::uint8_t>& data, const Array<std::int64_t>& offsets) {
  const ByteTable documents = byte_table(data, offsets, "match", "documents");
  Hits hits;
  {
    const py::gil_scoped_release release;
    hits = matcher.match(documents);
  }
  return to_arrays(hits.offsets, hits.words, hits.counts);
}

std::unique_ptr<TokenMatcher> make_token_matcher(const Array<std::uint32_t>& ids, const Array<std::int64_t>& offsets,
                                                 const Array<std::int32_t>& words, const Array<std::uint8_t>& leads,
                                                 std::size_t word_count, const Array<std::uint8_t>& edges,
                                                 const Array<std::uint8_t>& texts,
                                                 const Array<std::int64_t>& text_offsets,
                                                 const Array<std::uint8_t>& flags, const Array<std::uint8_t>& kinds,
                                                 const std::shared_ptr<Matcher>& matcher) {
  const std::size_t spellings = rows_of(offsets, length(ids, "TokenMatcher", "ids"), "TokenMatcher", "offsets");
  if (length(words, "TokenMatcher", "words") != spellings)
    refuse("TokenMatcher", "words", text("be as many as spellings, ", spellings), words.shape(0));
  if (length(leads, "TokenMatcher", "leads") != spellings)
    refuse("TokenMatcher", "leads", text("be as many as spellings, ", spellings), leads.shape(0));
  const std::size_t vocabulary = length(edges, "TokenMatcher", "edges");
  const ByteTable table = byte_table(texts, text_offsets, "TokenMatcher", "texts");
  if (length(flags, "TokenMatcher", "flags") != table.size)
    refuse("TokenMatcher", "flags", text("be as many as texts, ", table.size), flags.shape(0));
  if (length(kinds, "TokenMatcher", "kinds") != kCodePoints)
    refuse("TokenMatcher", "kinds", text("be one for each code point, ", kCodePoints), kinds.shape(0));
  const py::gil_scoped_release release;
  return std::make_unique<TokenMatcher>(
      ids.data(), offsets.data(), words.data(), leads.data(), spellings, word_count, edges.data(), vocabulary,
      TokenMatcher::Rule{matcher, TokenTexts(table, flags.data()), CodePointTable<std::uint8_t>(kinds.data())});
}

py::tuple match_tokens(const TokenMatcher& matcher, const py::array& tokens, const Array<std::int64_t>& offsets,
                       bool with_places) {
  return with_tokens("match", tokens, offsets, [&](const auto& documents) -> py::tuple {
    Hits hits;
    Occurrences places;
    {
      const py::gil_scoped_release release;
      hits = matcher.match(documents, with_places ? &places : nullptr);
    }
    py::object where = py::none();
    if (with_places) where = to_arrays(places.offsets, places.starts, places.ends);
    return py::make_tuple(to_array(std::move(hits.offsets)), to_array(std::move(hits.words)),
                          to_array(std::move(hits.counts)), where);
  });
}

PieceKind piece_kind(const std::string& function, const std::string& name) {
  if (name == "line") return PieceKind::kLine;
  if (name != "sentence") refuse(function, "kind", "be 'line' or 'sentence'", "'" + name + "'");
  return PieceKind::kSentence;
}

py::tuple pieces_of_text(const Array<std::uint8_t>& data, const Array<std::int64_t>& offsets, const std::string& name) {
  const ByteTable documents = byte_table(data, offsets, "text_pieces", "documents");
  const PieceKind kind = piece_kind("text_pieces", name);
  Pieces pieces;
  {
    const py::gil_scoped_release release;
    pieces = text_pieces(documents, kind);
  }
  return to_arrays(pieces.offsets, pieces.firsts);
}

py::tuple pieces_of_tokens(const py::array& tokens, const Array<std::int64_t>& offsets,
                           const Array<std::uint8_t>& texts, const Array<std::int64_t>& text_offsets,
                           const std::string& name) {
  const ByteTable table = byte_table(texts, text_offsets, "token_pieces", "texts");
  const PieceKind kind = piece_kind("token_pieces", name);
  return with_tokens("token_pieces", tokens, offsets, [&](const auto& documents) -> py::tuple {
    Pieces pieces;
    {
      const py::gil_scoped_release release;
      pieces = token_pieces(documents, table, kind);
    }
    return to_arrays(pieces.offsets, pieces.firsts);
  });
}

py::tuple in_languages(const Array<std::int64_t>& spelled_offsets, const Array<std::int32_t>& spelled_words,
                       const Array<std::uint64_t>& word_languages, const Array<std::uint64_t>& languages,
                       const Array<std::int64_t>& offsets, const Array<std::int32_t>& spellings,
                       const Array<std::int32_t>& counts, const py::object& places) {
  const std::string name = "words_in_languages";
  const std::size_t entries = length(spelled_words, name, "spelled words");
  if (length(word_languages, name, "word languages") != entries)
    refuse(name, "word languages", text("be as many as words, ", entries), word_languages.shape(0));
  const SpelledWords spelled{spelled_offsets.data(), spelled_words.data(), word_languages.data(),
                             rows_of(spelled_offsets, entries, name, "spelled offsets")};
  const std::size_t total = length(spellings, name, "spellings");
  const std::size_t size = rows_of(offsets, total, name, "offsets");
  if (length(counts, name, "counts") != total) refuse(name, "counts", "be as many as spellings", counts.shape(0));
  if (length(languages, name, "languages") != size)
    refuse(name, "languages", text("be of ", size, " documents"), languages.shape(0));
  const std::optional<Occurrences> occurrences = occurrences_of(places, total, name);
  Hits hits;
  Occurrences word_places;
  {
    const py::gil_scoped_release release;
    hits = words_in_languages(spelled, languages.data(), offsets.data(), spellings.data(), counts.data(), size,
                              occurrences ? &*occurrences : nullptr, &word_places);
  }
  py::object where = py::none();
  if (occurrences) where = to_arrays(word_places.offsets, word_places.starts, word_places.ends);
  return py::make_tuple(to_array(std::move(hits.offsets)), to_array(std::move(hits.words)),
                        to_array(std::move(hits.counts)), where);
}

py::tuple spans(const Matcher& matcher, const Array<std::uint8_t>& data, const Array<std::int64_t>& offsets) {
  const ByteTable documents = byte_table(data, offsets, "spans", "documents");
  Spans found;
  {
    const py::gil_scoped_release release;
    found = matcher.spans(documents);
  }
  return to_arrays(found.documents, found.words, found.begins, found.ends);
}

}  // namespace

void register_matcher(py::module_& m) {
  py::class_<Matcher, std::shared_ptr<Matcher>>(m, "Matcher", "Finds the words of a watch list in UTF-8 text.")
      .def(py::init(&make_matcher), py::arg("words").noconvert(), py::arg("offsets").noconvert(), py::arg("normalizer"),
           py::arg("letters").noconvert())
      .def("match", &match, py::arg("documents").noconvert(), py::arg("offsets").noconvert(),
           "The words of each document: offsets (N + 1) int64, word ids int32, occurrences int32.")
      .def("spans", &spans, py::arg("documents").noconvert(), py::arg("offsets").noconvert(),
           "Each occurrence: document int64, word id int32, begin and end int64 in code points of the document.")
      .def("__len__", &Matcher::size)
      .def_property_readonly("nbytes", &Matcher::bytes, "Memory that the matcher holds, in bytes.");

  py::class_<TokenMatcher>(m, "TokenMatcher", "Finds the words of a watch list in documents of token ids.")
      .def(py::init(&make_token_matcher), py::arg("ids").noconvert(), py::arg("offsets").noconvert(),
           py::arg("words").noconvert(), py::arg("leads").noconvert(), py::arg("word_count"),
           py::arg("edges").noconvert(), py::arg("texts").noconvert(), py::arg("text_offsets").noconvert(),
           py::arg("flags").noconvert(), py::arg("kinds").noconvert(), py::arg("matcher").none(true))
      .def("match", &match_tokens, py::arg("tokens").noconvert(), py::arg("offsets").noconvert(),
           py::arg("places") = false,
           "The words of each document: offsets (N + 1) int64, word ids int32, occurrences int32, and with `places` "
           "where: "
           "offsets int64 (hits + 1), starts and ends int32, else None.")
      .def("__len__", &TokenMatcher::size)
      .def_property_readonly("vocabulary", &TokenMatcher::vocabulary)
      .def_property_readonly("nbytes", &TokenMatcher::bytes);

  m.def("text_pieces", &pieces_of_text, py::arg("documents").noconvert(), py::arg("offsets").noconvert(),
        py::arg("kind"),
        "Where the lines or sentences of documents end, from 0, and the number of the first of each document.");
  m.def("token_pieces", &pieces_of_tokens, py::arg("tokens").noconvert(), py::arg("offsets").noconvert(),
        py::arg("texts").noconvert(), py::arg("text_offsets").noconvert(), py::arg("kind"),
        "The same for documents of token ids, by the text that the tokens write.");
  m.def("words_in_languages", &in_languages, py::arg("spelled_offsets").noconvert(),
        py::arg("spelled_words").noconvert(), py::arg("word_languages").noconvert(), py::arg("languages").noconvert(),
        py::arg("offsets").noconvert(), py::arg("spellings").noconvert(), py::arg("counts").noconvert(),
        py::arg("places") = py::none(),
        "Hits of words that are in the languages of their documents, from hits of spellings.");
}

}  // namespace pivotkit
