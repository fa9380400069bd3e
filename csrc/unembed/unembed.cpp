#include "unembed/unembed.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>

#include "common/parallel.h"
#include "common/require.h"
#include "unembed/block_rows.h"
#include "unembed/check.h"
#include "unembed/dispatch.h"
#include "unembed/divergence.h"
#include "unembed/merge.h"
#include "unembed/plan.h"
#include "unembed/top_k.h"

namespace pivotkit {

namespace {

// (maximum, sum of exp(z - maximum)) of a set's ids, one id at a time in ascending order.
void add_logit(float z, float* mass) {
  if (z > mass[0]) {
    mass[1] = mass[1] * std::exp(mass[0] - z) + 1.0f;
    mass[0] = z;
  } else {
    mass[1] += std::exp(z - mass[0]);
  }
}

// One block of rows on its way past the whole vocabulary.
class UnembedBlock {
 public:
  UnembedBlock(const UnembedRequest& request, const UnembedOutput& output, const Plan& plan, const Kernels& kernels,
               const Products& products, const BlockRows& rows_of_block)
      : request_(request), output_(output), plan_(plan), kernels_(kernels), products_(products), dealt_(rows_of_block),
        lanes_(lanes_of(request.weight.cols, products.run)), sets_(request.token_sets.sets),
        divergence_(plan, kernels, rows_of_block) {
    const auto rows = static_cast<std::size_t>(plan.block), spans = static_cast<std::size_t>(plan.spans);
    hidden_.resize(rows * static_cast<std::size_t>(lanes_));
    partials_.resize(spans * rows * 3);
    masses_.resize(spans * rows * static_cast<std::size_t>(sets_) * 2);
    for (int i = 0; i < plan.threads; ++i) workers_.emplace_back(request, plan, products);
  }

  void run() {
    rows_ = dealt_.count();
    const Direct& in_place = products_.in_place(request_.weight.type);
    direct_ = rows_ <= in_place.most;
    panels_ = Panels(rows_, direct_ ? in_place.rows : products_.max_rows);
    parallel_for(panels_.count, 4, plan_.threads, [&](std::int64_t begin, std::int64_t end, int) {
      for (std::int64_t panel = begin; panel < end; ++panel) load_panel(panel);
    });
    for (Worker& worker : workers_) {
      std::fill(worker.sizes.begin(), worker.sizes.end(), 0);
      std::fill(worker.ranks.begin(), worker.ranks.end(), 0);
      std::fill(worker.thresholds.begin(), worker.thresholds.end(), -std::numeric_limits<float>::infinity());
    }
    parallel_for(plan_.spans, 1, plan_.threads, [&](std::int64_t begin, std::int64_t, int worker) {
      if (finite_) run_span(begin, workers_[static_cast<std::size_t>(worker)]);
    });
    if (!finite_) refuse_nonfinite_logits(request_);
    parallel_for(rows_, 16, plan_.threads, [&](std::int64_t begin, std::int64_t end, int) {
      for (std::int64_t row = begin; row < end; ++row)
        if (dealt_.answered(row)) merge_row(row);
    });
  }

 private:
  std::int64_t source(std::int64_t row) const { return dealt_.sources()[row]; }
  std::int64_t panel_rows(std::int64_t panel) const { return panels_.begin(panel + 1) - panels_.begin(panel); }
  const float* panel_hidden(std::int64_t panel) const { return &hidden_[panels_.begin(panel) * lanes_]; }
  float* partial(std::int64_t span, std::int64_t row) { return &partials_[(span * plan_.block + row) * 3]; }
  float* mass(std::int64_t span, std::int64_t row) { return &masses_[(span * plan_.block + row) * sets_ * 2]; }

  // Lays a panel's rows out and finds its targets' logits.
  void load_panel(std::int64_t panel) {
    const std::int64_t begin = panels_.begin(panel), rows = panel_rows(panel);
    float* hidden = &hidden_[begin * lanes_];
    const Matrix& w = request_.weight;
    const WeightRows weight{w.data, w.type, w.row_stride, w.cols};
    for (std::int64_t row = 0; row < rows; ++row) {
      const std::int64_t m = source(begin + row), at = m * request_.target_count;
      load_row(request_.hidden, m, row, rows, products_.run, hidden);
      products_.exact(hidden, static_cast<int>(rows), static_cast<int>(row), weight, head(), request_.targets + at,
                      static_cast<int>(request_.target_count), output_.target_logits + at);
    }
  }

  Head head() const { return {request_.bias, request_.logit_scale, request_.softcap}; }

  void run_span(std::int64_t span, Worker& worker) {
    const std::int64_t begin = span * plan_.span, end = std::min(begin + plan_.span, request_.weight.rows);
    for (std::int64_t i = 0; i < rows_ * kStates * kLanes; ++i)
      worker.states[i] = i / kLanes % kStates == 0 ? kLowest : 0.0f;
    start_sets(span, begin, worker);
    divergence_.start_span(worker);
    for (std::int64_t first = begin; first < end && finite_; first += plan_.tile)
      run_tile(span, first, static_cast<int>(std::min<std::int64_t>(plan_.tile, end - first)), worker);
    for (std::int64_t row = 0; row < rows_; ++row)
      kernels_.floats->fold(&worker.states[row * kStates * kLanes], true, partial(span, row));
    divergence_.end_span(worker, span);
  }

  void run_tile(std::int64_t span, std::int64_t first, int ids, Worker& worker) {
    const Matrix& w = request_.weight;
    const std::int64_t bytes = first * w.row_stride * (w.type == Dtype::float32 ? 4 : 2);
    const WeightRows source{static_cast<const char*>(w.data) + bytes, w.type, w.row_stride, w.cols};
    if (!direct_) products_.pack(source, ids, worker.packed.data());
    for (std::int64_t p = 0; p < panels_.count; ++p) {
      const std::int64_t begin = panels_.begin(p), targets = request_.target_count;
      Panel panel{};
      panel.hidden = panel_hidden(p);
      panel.rows = static_cast<int>(panel_rows(p));
      panel.dim = w.cols;
      panel.weight = direct_ ? nullptr : worker.packed.data();
      panel.source = source;
      panel.first = first;
      panel.ids = ids;
      panel.head = head();
      panel.entropy = output_.entropy != nullptr;
      panel.states = &worker.states[begin * kStates * kLanes];
      panel.threshold = &worker.thresholds[begin];
      panel.sources = dealt_.sources() + begin;
      panel.targets = static_cast<int>(targets);
      if (targets != 0) {
        panel.target_ids = request_.targets;
        panel.target_logits = output_.target_logits;
        panel.target_ranks = &worker.ranks[begin * targets];
      }
      panel.logits = worker.logits.data();
      panel.hits = worker.hits.data();
      panel.hit_counts = worker.hit_counts.data();
      if (!products_.panel(panel)) {
        finite_ = false;
        return;
      }
      for (int i = 0; i < panel.rows; ++i) {
        keep_hits(panel, i, begin + i, worker);
        add_sets(span, panel, i, begin + i, worker);
      }
      if (dealt_.references() == 0) continue;
      const bool fresh = first == span * plan_.span;
      for (int i = 0; i < panel.rows; ++i)
        divergence_.add(worker, begin + i, panel.logits + i * padded(ids), ids, fresh);
    }
  }

  TopK top_k(Worker& worker, std::int64_t row) const {
    return TopK(&worker.keys[row * request_.k], worker.sizes[row], request_.k);
  }

  void keep_hits(const Panel& panel, int i, std::int64_t row, Worker& worker) const {
    if (panel.hit_counts[i] == 0) return;
    TopK best = top_k(worker, row);
    const int width = padded(panel.ids);
    for (int h = 0; h < panel.hit_counts[i]; ++h) {
      const int position = panel.hits[i * width + h];
      best.push(order_key(panel.logits[i * width + position], panel.first + position));
    }
    worker.thresholds[row] = best.threshold();
  }

  std::int64_t set_index(std::int64_t row) const { return request_.token_sets.shared ? 0 : source(row) * sets_; }

  void start_sets(std::int64_t span, std::int64_t begin, Worker& worker) {
    const TokenSets& table = request_.token_sets;
    const std::int64_t count = table.shared ? sets_ : rows_ * sets_;
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t* offset = table.offsets + set_index(i / sets_) + i % sets_;
      worker.cursors[i] = std::lower_bound(table.ids + offset[0], table.ids + offset[1], begin) - table.ids;
    }
    for (std::int64_t i = 0; i < rows_ * sets_; ++i) {
      mass(span, 0)[2 * i] = kLowest;
      mass(span, 0)[2 * i + 1] = 0.0f;
    }
  }

  void add_sets(std::int64_t span, const Panel& panel, int i, std::int64_t row, Worker& worker) {
    const TokenSets& table = request_.token_sets;
    const float* z = panel.logits + i * padded(panel.ids);
    for (std::int64_t s = 0; s < sets_; ++s) {
      std::int64_t& cursor = worker.cursors[table.shared ? s : row * sets_ + s];
      const std::int64_t end = table.offsets[set_index(row) + s + 1];
      std::int64_t at = cursor;
      for (; at < end && table.ids[at] < panel.first + panel.ids; ++at)
        add_logit(z[table.ids[at] - panel.first], mass(span, row) + 2 * s);
      // A shared set stays at this tile until its last row has passed.
      if (!table.shared || row == rows_ - 1) cursor = at;
    }
  }

  void merge_row(std::int64_t row) {
    const std::int64_t m = source(row), k = request_.k;
    Merged all;
    for (std::int64_t span = 0; span < plan_.spans; ++span) {
      const float* p = partial(span, row);
      all.add(p[0], p[1], p[2]);
    }
    output_.logsumexp[m] = static_cast<float>(all.logsumexp());
    if (output_.entropy != nullptr) output_.entropy[m] = static_cast<float>(std::max(all.entropy(), 0.0));
    if (output_.kl != nullptr) {
      const double kl = divergence_.of(row, all.logsumexp(), partials_);
      if (!(kl <= std::numeric_limits<float>::max()))
        refuse("unembed", "references", "name rows whose logits differ by what fits float32", "an overflow");
      output_.kl[m] = static_cast<float>(kl);
    }
    for (std::int64_t s = 0; s < sets_; ++s) {
      Merged set;
      for (std::int64_t span = 0; span < plan_.spans; ++span)
        set.add(mass(span, row)[2 * s], mass(span, row)[2 * s + 1], 0.0);
      output_.set_logprobs[m * sets_ + s] = static_cast<float>(set.logsumexp() - all.logsumexp());
    }
    TopK best = top_k(workers_[0], row);
    for (std::size_t w = 1; w < workers_.size(); ++w)
      for (std::int32_t i = 0; i < workers_[w].sizes[row]; ++i) best.push(workers_[w].keys[row * k + i]);
    best.sort();
    for (std::int64_t i = 0; i < k; ++i) {
      output_.ids[m * k + i] = key_id(workers_[0].keys[row * k + i]);
      output_.logits[m * k + i] = key_logit(workers_[0].keys[row * k + i]);
    }
    for (std::int64_t t = 0; t < request_.target_count; ++t) {
      std::int64_t rank = 0;
      for (const Worker& worker : workers_) rank += worker.ranks[row * request_.target_count + t];
      output_.target_ranks[m * request_.target_count + t] = rank;
    }
  }

  const UnembedRequest& request_;
  const UnembedOutput& output_;
  const Plan& plan_;
  const Kernels& kernels_;
  const Products& products_;
  const BlockRows& dealt_;
  const std::int64_t lanes_;  // of a row
  const std::int64_t sets_;
  std::int64_t rows_ = 0;
  Panels panels_{0, 1};
  bool direct_ = false;  // weights are turned in registers for each panel, not packed once
  std::atomic<bool> finite_{true};
  std::vector<float> hidden_;    // the block's rows, by panels as Products::run says
  std::vector<float> partials_;  // (spans, block, 3)
  std::vector<float> masses_;    // (spans, block, sets, 2)
  Divergence divergence_;
  std::vector<Worker> workers_;
};

}  // namespace

void unembed(const UnembedRequest& request, const UnembedOutput& output) {
  check_request(request);
  if (request.hidden.rows == 0) return;
  const Kernels kernels = kernels_of(request.isa);
  const Products& products = products_of(kernels, request);
  const Plan plan(request, products);
  BlockRows rows(request, plan);
  UnembedBlock block(request, output, plan, kernels, products, rows);
  while (rows.next()) block.run();
}

}  // namespace pivotkit
