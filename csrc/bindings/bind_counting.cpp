// Counting: hits and tokens as NumPy arrays in, counts as NumPy arrays out, the GIL released round the compute.
#include <pybind11/stl.h>

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "bindings/arrays.h"
#include "bindings/locked.h"
#include "bindings/occurrences.h"
#include "bindings/register.h"
#include "common/require.h"
#include "counting/context_counter.h"
#include "counting/context_table.h"
#include "counting/document_counter.h"
#include "counting/document_scorer.h"
#include "counting/stratum_counter.h"
#include "counting/token_counter.h"
#include "counting/token_places.h"
#include "counting/word_windows.h"
#include "rows/row_file.h"

namespace pivotkit {
namespace {

using Documents = Locked<DocumentCounter>;
using Contexts = Locked<ContextCounter>;
using Table = Locked<ContextTable>;
using Scorer = Locked<DocumentScorer>;
using Strata = Locked<StratumCounter>;
using Tokens = Locked<TokenCounter>;

std::unique_ptr<Documents> make_documents(std::size_t words, const Array<std::int32_t>& pairs, std::int64_t window) {
  if (pairs.ndim() != 2 || pairs.shape(1) != 2) refuse("DocumentCounter", "pairs", "have shape (pairs, 2)", "another");
  return std::make_unique<Documents>(words, pairs.data(), static_cast<std::size_t>(pairs.shape(0)), window);
}

void add_documents(Documents& documents, const Array<std::int64_t>& offsets, const Array<std::int32_t>& words,
                   const Array<std::int32_t>& counts, const py::object& places) {
  const std::size_t total = length(words, "add", "words");
  if (length(counts, "add", "counts") != total) refuse("add", "counts", "be as many as words", counts.shape(0));
  const std::size_t size = rows_of(offsets, total, "add", "offsets");
  const std::optional<Occurrences> occurrences = occurrences_of(places, total, "add");
  documents.run([&](DocumentCounter& counter) {
    counter.add(offsets.data(), words.data(), counts.data(), size, occurrences ? &*occurrences : nullptr);
  });
}

std::size_t add_contexts(Contexts& contexts, const Array<std::int64_t>& offsets, const Array<std::int32_t>& words,
                         const py::array& tokens, const Array<std::int64_t>& token_offsets, std::size_t from) {
  const std::size_t size = rows_of(offsets, length(words, "add", "words"), "add", "offsets");
  return with_tokens("add", tokens, token_offsets, [&](const auto& documents) {
    if (documents.size != size) refuse("add", "token_offsets", text("describe ", size, " documents"), documents.size);
    if (from > size) refuse("add", "from", "be within the documents", from);
    return contexts.run(
        [&](ContextCounter& counter) { return counter.add(offsets.data(), words.data(), documents, from); });
  });
}

py::tuple context_rows(Contexts& contexts, std::size_t begin, std::size_t end) {
  ContextRows rows = contexts.run([&](ContextCounter& counter) { return counter.rows(begin, end); });
  return to_arrays(rows.offsets, rows.tokens, rows.counts);
}

std::uint64_t write_contexts(Contexts& contexts, const std::string& path) {
  return contexts.run([&](ContextCounter& counter) {
    RowFileWriter file(path, counter.words(), kRowFileBuffer);
    counter.write(file);
    return file.finish();
  });
}

std::size_t add_block(Table& table, Contexts& contexts, std::size_t begin, std::size_t limit) {
  return run_both(table, contexts,
                  [&](ContextTable& sum, ContextCounter& counter) { return sum.add(counter, begin, limit); });
}

std::uint64_t write_table(Table& table, const std::string& path) {
  return table.run([&](ContextTable& sum) {
    sum.require_whole("write");  // before the file is emptied
    RowFileWriter file(path, sum.words(), kRowFileBuffer);
    sum.write(file);
    return file.finish();
  });
}

void add_strata(Strata& strata, const Array<std::int64_t>& offsets, const Array<std::int32_t>& words,
                const Array<std::int32_t>& of_documents, const py::object& tokens, const py::object& token_offsets) {
  const std::size_t size = rows_of(offsets, length(words, "add", "words"), "add", "offsets");
  if (length(of_documents, "add", "strata") != size)
    refuse("add", "strata", text("be of ", size, " documents"), of_documents.shape(0));
  if (tokens.is_none())
    return strata.run(
        [&](StratumCounter& counter) { counter.add(offsets.data(), words.data(), of_documents.data(), size); });
  const auto ends = py::cast<Array<std::int64_t>>(token_offsets);
  with_tokens("add", py::cast<py::array>(tokens), ends, [&](const auto& documents) {
    if (documents.size != size) refuse("add", "token_offsets", text("describe ", size, " documents"), documents.size);
    strata.run(
        [&](StratumCounter& counter) { counter.add(offsets.data(), words.data(), of_documents.data(), documents); });
  });
}

std::uint64_t write_strata(Strata& strata, const std::string& path) {
  return strata.run([&](StratumCounter& counter) {
    RowFileWriter file(path, counter.strata(), kRowFileBuffer);
    counter.write(file);
    return file.finish();
  });
}

py::tuple find_windows(const Array<std::int64_t>& offsets, const py::object& places, const py::array& tokens,
                       const Array<std::int64_t>& token_offsets, std::int64_t window, std::size_t from,
                       std::size_t most) {
  if (places.is_none()) refuse("word_windows", "places", "be those of the hits", "None");
  const auto hits = static_cast<std::size_t>(offsets.size() > 0 ? offsets.at(offsets.size() - 1) : 0);
  const std::size_t size = rows_of(offsets, hits, "word_windows", "offsets");
  const std::optional<Occurrences> occurrences = occurrences_of(places, hits, "word_windows");
  if (window < 1) refuse("word_windows", "window", "be at least 1", window);
  return with_tokens("word_windows", tokens, token_offsets, [&](const auto& documents) -> py::tuple {
    if (documents.size != size)
      refuse("word_windows", "token_offsets", text("describe ", size, " documents"), documents.size);
    if (from >= hits) refuse("word_windows", "start", text("be below ", hits), from);
    auto found = [&] {
      const py::gil_scoped_release release;
      return word_windows(documents, offsets.data(), *occurrences, window, from, most);
    }();
    return to_arrays(found.ids, found.offsets);
  });
}

std::unique_ptr<Scorer> make_scorer(const Array<bool>& pivots, const std::optional<Array<float>>& weights,
                                    bool distinct) {
  const bool* begin = pivots.data();
  std::vector<std::uint8_t> is_pivot(begin, begin + length(pivots, "DocumentScorer", "pivots"));
  std::vector<float> kept;
  if (weights) kept.assign(weights->data(), weights->data() + length(*weights, "DocumentScorer", "weights"));
  return std::make_unique<Scorer>(std::move(is_pivot), std::move(kept), distinct);
}

py::tuple score_documents(Scorer& scorer, const py::array& ids, const Array<std::int64_t>& offsets, bool continued) {
  return with_tokens("add", ids, offsets, [&](const auto& documents) {
    DocumentScores found = scorer.run([&](DocumentScorer& object) { return object.add(documents, continued); });
    return to_arrays(found.tokens, found.pivots, found.scores);
  });
}

template <class Id>
py::array_t<std::int64_t> find_places(const Array<Id>& ids, Id token) {
  const std::size_t size = length(ids, "token_places", "ids");
  std::vector<std::int64_t> places;
  {
    const py::gil_scoped_release release;
    places = token_places(ids.data(), size, token);
  }
  return to_array(std::move(places));
}

}  // namespace

void register_counting(py::module_& m) {
  py::class_<Documents>(m, "DocumentCounter", "Counts words and pairs of words over documents.")
      .def(py::init(&make_documents), py::arg("words"), py::arg("pairs").noconvert(), py::arg("window") = 0)
      .def("add", &add_documents, py::arg("offsets").noconvert(), py::arg("words").noconvert(),
           py::arg("counts").noconvert(), py::arg("places") = py::none(), "Count the documents whose hits are given.")
      .def(
          "clear", [](Documents& d) { d.run([](DocumentCounter& counter) { counter.clear(); }); }, "Begin anew.")
      .def_property_readonly("documents", [](const Documents& d) { return d.object.documents(); })
      .def_property_readonly("df", [](const Documents& d) { return to_array(d.object.df()); })
      .def_property_readonly("tf", [](const Documents& d) { return to_array(d.object.tf()); })
      .def_property_readonly(
          "pair_df",
          [](Documents& d) { return to_array(d.run([](DocumentCounter& counter) { return counter.pair_df(); })); })
      .def_property_readonly("nbytes", [](const Documents& d) { return d.object.bytes(); });

  py::class_<Contexts>(m, "ContextCounter", "Counts the tokens of the documents that contain each word.")
      .def(py::init<std::size_t, std::size_t, std::size_t>(), py::arg("words"), py::arg("vocabulary"),
           py::arg("capacity"))
      .def("add", &add_contexts, py::arg("offsets").noconvert(), py::arg("words").noconvert(),
           py::arg("tokens").noconvert(), py::arg("token_offsets").noconvert(), py::arg("start") = 0,
           "Take documents into the block until it is full; how many were taken.")
      .def("rows", &context_rows, py::arg("begin"), py::arg("end"),
           "Rows of the block's table: offsets int64, token ids int32, documents uint32.")
      .def("write", &write_contexts, py::arg("path"), "Write the block's table as a row file; its bytes.")
      .def(
          "clear", [](Contexts& c) { c.run([](ContextCounter& counter) { counter.clear(); }); },
          "Begin the next block.")
      .def_property_readonly("background", [](Contexts& c) {
        return to_array(c.run([](ContextCounter& counter) { return counter.background(); }));
      });

  py::class_<Table>(m, "ContextTable", "The sum of the tables of many blocks of a ContextCounter.")
      .def(py::init<std::size_t, std::size_t>(), py::arg("words"), py::arg("vocabulary"))
      .def("add", &add_block, py::arg("counter"), py::arg("begin") = 0,
           py::arg("limit") = std::numeric_limits<std::size_t>::max(),
           "Add the block's rows of words from `begin` on, until the table takes more than `limit` bytes; the word to "
           "go on with.")
      .def(
          "add_rows",
          [](Table& t, const std::string& path) { t.run([&](ContextTable& table) { table.add_rows(path); }); },
          py::arg("path"), "Add the rows of a row file.")
      .def("write", &write_table, py::arg("path"), "Write the table as a row file; its bytes.")
      .def(
          "clear", [](Table& t) { t.run([](ContextTable& table) { table.clear(); }); }, "Free the rows and begin anew.")
      .def_property_readonly("nbytes",
                             [](Table& t) { return t.run([](ContextTable& table) { return table.bytes(); }); });

  py::class_<Strata>(m, "StratumCounter", "Counts the documents of each stratum that contain each token and word.")
      .def(py::init<std::size_t, std::size_t, std::size_t>(), py::arg("strata"), py::arg("vocabulary"),
           py::arg("words"))
      .def("add", &add_strata, py::arg("offsets").noconvert(), py::arg("words").noconvert(),
           py::arg("strata").noconvert(), py::arg("tokens") = py::none(), py::arg("token_offsets") = py::none(),
           "Count the documents whose hits, strata and tokens are given.")
      .def("write", &write_strata, py::arg("path"), "Write the table as a row file; its bytes.")
      .def(
          "clear", [](Strata& s) { s.run([](StratumCounter& counter) { counter.clear(); }); }, "Begin the next table.")
      .def_property_readonly("documents", [](const Strata& s) { return s.object.documents(); })
      .def_property_readonly("background", [](Strata& s) {
        return to_array(s.run([](StratumCounter& counter) { return counter.background(); }));
      });

  m.def("word_windows", &find_windows, py::arg("offsets").noconvert(), py::arg("places"), py::arg("tokens").noconvert(),
        py::arg("token_offsets").noconvert(), py::arg("window"), py::arg("start"), py::arg("most"),
        "The tokens round each of some hits from `start` on: ids, and int64 offsets (hits taken + 1).");

  m.def("token_places", &find_places<std::uint16_t>, py::arg("ids").noconvert(), py::arg("token"),
        "The places of a token among ids, ascending.");
  m.def("token_places", &find_places<std::uint32_t>, py::arg("ids").noconvert(), py::arg("token"));

  py::class_<Scorer>(m, "DocumentScorer", "Scores documents of token ids by the pivots in them.")
      .def(py::init(&make_scorer), py::arg("pivots").noconvert(), py::arg("weights").noconvert() = py::none(),
           py::arg("distinct") = false)
      .def("add", &score_documents, py::arg("tokens").noconvert(), py::arg("offsets").noconvert(),
           py::arg("continued") = false, "Tokens int64, pivots int64 and score float64 of each document.");

  py::class_<Tokens>(m, "TokenCounter", "Counts the documents that contain each token.")
      .def(py::init<std::size_t>(), py::arg("vocabulary"))
      .def(
          "add",
          [](Tokens& tokens, const py::array& ids, const Array<std::int64_t>& offsets) {
            with_tokens("add", ids, offsets, [&](const auto& documents) {
              tokens.run([&](TokenCounter& counter) { counter.add(documents); });
            });
          },
          py::arg("tokens").noconvert(), py::arg("offsets").noconvert())
      .def_property_readonly(
          "df", [](Tokens& t) { return to_array(t.run([](TokenCounter& counter) { return counter.df(); })); })
      .def_property_readonly("documents", [](const Tokens& t) { return t.object.documents(); })
      .def_property_readonly("tokens", [](const Tokens& t) { return t.object.tokens(); });
}

}  // namespace pivotkit
