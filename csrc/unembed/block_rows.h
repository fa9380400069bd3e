// Which rows of a request pass over the weight together, so that each row meets its reference.
#pragma once

#include <cstdint>
#include <vector>

#include "unembed/plan.h"
#include "unembed/unembed.h"

namespace pivotkit {

// Distinct references of rows other than themselves.
std::int64_t count_references(const UnembedRequest& request);

// Deals one block after another. Without references, rows come in their own order. With references, rows of one
// reference come together, and within a block the references come first. A reference that belongs to another block
// joins this one as a guest: others are compared with it, but it is not answered here.
class BlockRows {
 public:
  BlockRows(const UnembedRequest& request, const Plan& plan) : request_(request), plan_(plan) {}

  // Deals the next block. Returns false when all rows were answered.
  bool next();

  std::int64_t count() const { return static_cast<std::int64_t>(sources_.size()); }
  const std::int64_t* sources() const { return sources_.data(); }  // which of the request's rows they are
  std::int64_t references() const { return references_; }          // so many come first
  bool answered(std::int64_t row) const { return places_.empty() || places_[row] != kGuest; }
  // Whether a row is compared with another, and where in the block that other row is.
  bool compared(std::int64_t row) const { return !places_.empty() && places_[row] >= 0; }
  std::int64_t reference(std::int64_t row) const { return places_[row]; }

 private:
  static constexpr std::int64_t kGuest = -2, kItself = -1;

  std::int64_t reference_of(std::int64_t source) const { return request_.references[source]; }
  bool before(std::int64_t a, std::int64_t b) const;
  bool among(std::int64_t source, std::int64_t first, std::int64_t last) const;
  bool is_reference(std::int64_t source) const;
  bool order_window();
  std::int64_t place(std::int64_t source, std::int64_t first, std::int64_t last) const;

  const UnembedRequest& request_;
  const Plan& plan_;
  std::int64_t begin_ = 0, at_ = 0;    // of the window: its first row, and the next of order_
  std::vector<std::int64_t> order_;    // the window's rows, ascending by reference and then by row
  std::vector<std::int64_t> sources_;  // the block's rows
  std::vector<std::int64_t> places_;   // of their references, or kItself or kGuest; empty where nothing is compared
  std::int64_t references_ = 0;
};

}  // namespace pivotkit
