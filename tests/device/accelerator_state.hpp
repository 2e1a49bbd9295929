// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>
#include <c10/core/Allocator.h>
#include <c10/core/Stream.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

// What the parts of the simulated accelerator share. All of it is guarded by State::mutex.
namespace thaw::test::accelerator {

/// Of each stream, up to which of its operations something is known to come after it.
using Clock = std::map<c10::StreamId, std::uint64_t>;

struct Capture;

/// A piece of device memory.
struct Block {
  Block(std::size_t size_, c10::StreamId owner_);
  ~Block();
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;

  std::size_t size;
  void* bytes;  // as the host sees them
  c10::StreamId owner;
  std::pair<c10::StreamId, std::uint64_t> written = {0, 0};
  Clock used = {};
  std::set<c10::StreamId> recorded = {};  // by record_stream
};
using Blocks = std::vector<std::shared_ptr<Block>>;

struct Copy {
  std::uint64_t number;  // of the stream's operations
  bool to_host;
  std::function<void()> run;
};

struct Stream {
  std::uint64_t now = 0;  // operations so far
  Clock after = {};       // what the next one comes after
  std::deque<Copy> copies = {};
  std::shared_ptr<Capture> capture = {};
};

struct Event {
  c10::StreamId stream = 0;
  std::uint64_t number = 0;
  Clock after = {};
  std::weak_ptr<Capture> capture = {};
};

/// A graph that is being captured, or was: operations to do again on the same memory.
struct Capture {
  struct Step {
    std::string name;
    std::vector<std::weak_ptr<Block>> blocks;
    std::function<void()> run;
  };
  std::vector<Step> steps = {};
  Blocks pool = {};                   // memory that was allocated meanwhile
  std::set<const void*> pinned = {};  // host memory that copies read or write
  std::map<std::shared_ptr<Block>, std::vector<std::byte>> before = {};
};

struct State {
  std::recursive_mutex mutex;
  std::map<std::uintptr_t, std::shared_ptr<Block>> blocks;  // by the device's address
  std::map<std::uintptr_t, std::size_t> pinned;             // host memory
  std::map<c10::StreamId, Stream> streams;
  Clock host;  // what the host has waited for
  std::int64_t bytes = 0, peak_bytes = 0, limit = 0;
  std::int64_t syncs = 0, refuse_syncs = 0;
  std::vector<std::string> misuse;
  std::vector<std::weak_ptr<Capture>> graphs;
};

State& state();
c10::Allocator& allocator();
at::Device device();
c10::StreamId current_stream();
/// What the device's numbers are drawn from; a generator that the CPU's kernels take.
at::Generator& random();
/// The one that such a generator of the device holds. Throws for a generator of another device.
at::Generator drawn_from(const at::Generator& generator);

/// The host's address of what has this one on the device.
void* on_host(const void* of_device);
bool is_pinned(const at::Tensor& tensor);
/// That a tensor of the device lies in; null where it is empty.
std::shared_ptr<Block> block_of(const void* of_device);

/// The host waits for the current stream.
void sync(const std::string& what);
/// What the copies of a stream up to that operation do, is done; copies to the host only if it waits for them.
void carry_out(c10::StreamId stream, std::uint64_t number, bool host_waits);

/// An operation on the current stream begins. `queued`: it is left for later, so copies before it may be too.
void begin(const std::string& name, const Blocks& reads, const Blocks& writes, bool queued = false);
/// Does the operation that began again whenever the graph is replayed that is being captured, if any.
void record(const std::string& name, const Blocks& blocks, std::function<void()> run);
std::shared_ptr<Capture>& capture();

/// Where LibTorch has them.
void register_graphs();

}  // namespace thaw::test::accelerator
