// SPDX-License-Identifier: BSD-3-Clause
// What processes agree on in each step is five numbers: Processes::sum of them, next to Gloo's allreduce.
//
//   torchrun --no-python --nproc-per-node 4 build/bench/benchmarks/short_sums
//
// tools/several_hosts.sh starts it on four machines of its own making, whose packets take 10 ms.

#include "bench.hpp"

#include <ATen/Parallel.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/distributed/c10d/Work.hpp>

#include <cstdint>
#include <exception>
#include <thaw/distributed/processes.hpp>
#include <vector>

int main(int argc, char** argv) try {
  at::set_num_threads(1);
  const bench::Arguments arguments(argc, argv);
  const auto processes = thaw::distributed::init();
  if (processes.size() == 1) {
    fmt::print(stderr, "start it by torchrun --no-python --nproc-per-node 4\n");
    return 2;
  }
  bench::Report report;
  for (const std::int64_t numel : {5, 1024}) {
    at::Tensor values = at::zeros({numel}, at::kDouble);
    std::vector<at::Tensor> same{values};
    const std::vector<double> seconds =
        bench::least(arguments.quick ? 10 : 300,
                     {[&] { processes.sum(values); }, [&] { processes.group()->allreduce(same)->wait(); }});
    report.add(fmt::format("sum of {} bytes over {} processes", values.nbytes(), processes.size()), 1e3 * seconds[0],
               1e3 * seconds[1], "ms", bench::Target::at_most, 1);
  }
  if (processes.rank() == 0) report.finish(arguments);
  processes.barrier();
} catch (const std::exception& error) {
  fmt::print(stderr, "{}\n", error.what());
  std::fflush(stderr), std::_Exit(1);  // a process group whose peers are gone may wait for them in its destructor
}
