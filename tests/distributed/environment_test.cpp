// SPDX-License-Identifier: BSD-3-Clause
#include <thaw/distributed/environment.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <map>
#include <string>

using Catch::Matchers::ContainsSubstring;
using thaw::distributed::Environment;

namespace {

Environment environment_of(const std::map<std::string, std::string>& variables) {
  return thaw::distributed::environment([&](const char* name) -> const char* {
    const auto found = variables.find(name);
    return found == variables.end() ? nullptr : found->second.c_str();
  });
}

}  // namespace

TEST_CASE("without a launcher there is one process") {
  const Environment alone = environment_of({});
  CHECK(alone.rank == 0);
  CHECK(alone.size == 1);
  CHECK(alone.local_rank == 0);
  CHECK(alone.address == "127.0.0.1");
  CHECK(alone.port == 29500);
  CHECK_FALSE(alone.agent);
  CHECK(alone.attempt == 0);
  CHECK(environment_of({{"MASTER_ADDR", ""}, {"RANK", ""}}).address == "127.0.0.1");
}

TEST_CASE("torchrun, Open MPI, MPICH and Slurm each say who is who") {
  const Environment torchrun = environment_of({{"RANK", "3"},
                                               {"WORLD_SIZE", "4"},
                                               {"LOCAL_RANK", "1"},
                                               {"MASTER_ADDR", "node1"},
                                               {"MASTER_PORT", "4242"},
                                               {"TORCHELASTIC_USE_AGENT_STORE", "True"},
                                               {"TORCHELASTIC_RESTART_COUNT", "2"},
                                               {"SLURM_PROCID", "7"},  // torchrun under Slurm: its own word counts
                                               {"SLURM_NTASKS", "8"}});
  CHECK(torchrun.rank == 3);
  CHECK(torchrun.size == 4);
  CHECK(torchrun.local_rank == 1);
  CHECK(torchrun.address == "node1");
  CHECK(torchrun.port == 4242);
  CHECK(torchrun.agent);
  CHECK(torchrun.attempt == 2);
  CHECK(torchrun.interface.empty());
  CHECK(environment_of({{"GLOO_SOCKET_IFNAME", "eth0"}}).interface == "eth0");
  CHECK_FALSE(environment_of({{"TORCHELASTIC_USE_AGENT_STORE", "False"}}).agent);

  const auto same = [](const Environment& of) { return of.rank == 1 && of.size == 2 && of.local_rank == 1; };
  CHECK(same(environment_of(
      {{"OMPI_COMM_WORLD_RANK", "1"}, {"OMPI_COMM_WORLD_SIZE", "2"}, {"OMPI_COMM_WORLD_LOCAL_RANK", "1"}})));
  CHECK(same(environment_of({{"PMI_RANK", "1"}, {"PMI_SIZE", "2"}, {"MPI_LOCALRANKID", "1"}})));
  CHECK(same(environment_of({{"SLURM_PROCID", "1"}, {"SLURM_NTASKS", "2"}, {"SLURM_LOCALID", "1"}})));
}

TEST_CASE("a Slurm allocation starts nobody: what is started in it by hand is alone, what srun starts is not") {
  const auto alone = [](const Environment& of) { return of.rank == 0 && of.size == 1 && of.local_rank == 0; };
  CHECK(alone(environment_of({{"SLURM_JOB_ID", "7"}, {"SLURM_NTASKS", "4"}})));                          // salloc
  CHECK(alone(environment_of({{"SLURM_NTASKS", "4"}, {"SLURM_PROCID", "0"}, {"SLURM_LOCALID", "0"}})));  // sbatch
  CHECK(alone(environment_of({{"SLURM_NTASKS", "4"},  // salloc that begins a shell there, a step of one
                              {"SLURM_PROCID", "0"},
                              {"SLURM_LOCALID", "0"},
                              {"SLURM_STEP_ID", "4294967290"},
                              {"SLURM_STEP_NUM_TASKS", "1"}})));
  const Environment step = environment_of({{"SLURM_NTASKS", "4"},
                                           {"SLURM_PROCID", "0"},
                                           {"SLURM_LOCALID", "0"},
                                           {"SLURM_STEP_ID", "0"},
                                           {"SLURM_STEP_NUM_TASKS", "2"}});
  CHECK(step.size == 2);
  CHECK(step.local_rank == 0);
  CHECK(environment_of({{"SLURM_NTASKS", "4"}, {"SLURM_PROCID", "0"}, {"SLURM_STEP_ID", "0"}}).size == 4);
}

TEST_CASE("the local rank is that of whichever launcher started this process, and none where nobody says it") {
  using Variables = std::map<std::string, std::string>;
  const auto with = [](Variables variables, const Variables& more) {
    variables.insert(more.begin(), more.end());
    return environment_of(variables).local_rank;
  };
  const Variables slurm{{"SLURM_PROCID", "1"}, {"SLURM_LOCALID", "1"}, {"SLURM_STEP_ID", "0"}};
  const Variables pmi{{"PMI_RANK", "1"}, {"PMI_SIZE", "2"}}, by_hand{{"RANK", "1"}, {"WORLD_SIZE", "2"}};
  for (const Variables& start : {pmi, by_hand}) {
    CHECK(with(start, {{"SLURM_LOCALID", "1"}}) == 1);
    CHECK(with(start, slurm) == 1);
    CHECK(with(start, {{"LOCAL_RANK", "0"}, {"SLURM_LOCALID", "1"}}) == 0);
    CHECK(with(start, {{"MPI_LOCALRANKID", "1"}, {"SLURM_PROCID", "0"}, {"SLURM_LOCALID", "0"}}) == 1);
    CHECK_FALSE(with(start, {{"SLURM_PROCID", "0"}, {"SLURM_LOCALID", "0"}}));  // of mpirun's daemon, not its own
    CHECK_FALSE(with(start, {{"SLURM_NTASKS", "4"}, {"SLURM_LOCALID", "0"}}));
    CHECK_FALSE(with(start, {}));
  }
  CHECK(with({{"RANK", "0"}, {"WORLD_SIZE", "1"}}, {}) == 0);
}

TEST_CASE("of several GPUs a process takes the one that it is told, and none by guessing") {
  using thaw::distributed::detail::own_gpu;
  const Environment unknown = environment_of({{"RANK", "1"}, {"WORLD_SIZE", "2"}});
  CHECK(own_gpu(unknown, 0) == 0);
  CHECK(own_gpu(unknown, 1) == 0);
  CHECK_THROWS_WITH(own_gpu(unknown, 4), ContainsSubstring("rank 1 of 2 does not know which of the machine's 4 GPUs") &&
                                             ContainsSubstring("set LOCAL_RANK"));
  CHECK(own_gpu({.rank = 1, .size = 2, .local_rank = 1}, 4) == 1);
  CHECK(own_gpu({}, 4) == 0);
}

TEST_CASE("variables that make no sense are refused by their names") {
  const auto refused = [](const std::map<std::string, std::string>& variables, const std::string& what) {
    CHECK_THROWS_WITH(environment_of(variables), ContainsSubstring(what));
  };
  refused({{"RANK", "2"}, {"WORLD_SIZE", "2"}}, "RANK is 2, WORLD_SIZE is 2");
  refused({{"RANK", "0"}}, "RANK is 0, WORLD_SIZE is not set");
  refused({{"WORLD_SIZE", "2"}}, "RANK is not set, WORLD_SIZE is 2");
  refused({{"RANK", "-1"}, {"WORLD_SIZE", "2"}}, "RANK: is \"-1\"");
  refused({{"RANK", "one"}, {"WORLD_SIZE", "2"}}, "RANK: is \"one\"");
  refused({{"RANK", "1"}, {"WORLD_SIZE", "2 "}}, "WORLD_SIZE: is \"2 \"");
  refused({{"MASTER_PORT", "0"}}, "MASTER_PORT: is 0");
  refused({{"MASTER_PORT", "65536"}}, "MASTER_PORT: is 65536");
}
