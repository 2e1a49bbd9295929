// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "support/folder.hpp"
#include "support/python_command.hpp"

namespace thaw::test {

/// A port that nobody listens to.
inline int free_port() {
  const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  (void)::bind(socket, reinterpret_cast<sockaddr*>(&address), size);
  (void)::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size);
  ::close(socket);
  return ntohs(address.sin_port);
}

/// How a process ended, and what it said.
struct Ended {
  int status = -1;  ///< of wait; -1 where it had to be killed
  std::string said;
  [[nodiscard]] bool well() const { return WIFEXITED(status) && WEXITSTATUS(status) == 0; }
};

/// Runs the command once for each rank of `size`, as torchrun would, and waits until all have ended, for `seconds` at
/// most.
inline std::vector<Ended> in_processes(int size, const std::vector<std::string>& command, double seconds = 120) {
  const Folder folder;
  const std::string port = std::to_string(free_port());
  std::vector<pid_t> processes;
  const auto log = [&](int rank) { return (folder / ("log" + std::to_string(rank))).string(); };
  for (int rank = 0; rank < size; ++rank) {
    std::vector<std::string> variables{"RANK=" + std::to_string(rank),
                                       "WORLD_SIZE=" + std::to_string(size),
                                       "LOCAL_RANK=" + std::to_string(rank),
                                       "MASTER_ADDR=127.0.0.1",
                                       "MASTER_PORT=" + port,
                                       "OMP_NUM_THREADS=1"};
    for (char** each = environ; *each != nullptr; ++each) variables.emplace_back(*each);
    std::vector<char*> arguments, environment;
    for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
    for (const std::string& variable : variables) environment.push_back(const_cast<char*>(variable.c_str()));
    arguments.push_back(nullptr), environment.push_back(nullptr);
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 1, log(rank).c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    posix_spawn_file_actions_adddup2(&files, 1, 2);
    pid_t process = 0;
    if (posix_spawnp(&process, arguments[0], &files, nullptr, arguments.data(), environment.data()) == 0)
      processes.push_back(process);
    posix_spawn_file_actions_destroy(&files);
  }
  std::vector<Ended> ended(processes.size());
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  for (std::size_t i = 0; i < processes.size(); ++i) {
    while (::waitpid(processes[i], &ended[i].status, WNOHANG) == 0) {
      if (std::chrono::steady_clock::now() < end) {
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
        continue;
      }
      ::kill(processes[i], SIGKILL);
      ::waitpid(processes[i], nullptr, 0);
      ended[i].status = -1;
      break;
    }
    ended[i].said = text_of(log(static_cast<int>(i)));
  }
  return ended;
}

/// Runs the command by the real torchrun, in two processes; none where it is not there (./dev python).
inline std::optional<Ended> by_torchrun(const std::string& command, const std::string& options = "") {
  const std::string launch = python_command() + " -m torch.distributed.run";
  if (std::system((launch + " --help >/dev/null 2>&1").c_str()) != 0) return std::nullopt;
  const Folder folder;
  const std::string log = folder / "log", port = std::to_string(free_port());
  Ended ended{.status = std::system((launch + " --no-python --nproc-per-node 2 --master-port " + port + " " + options +
                                     " " + command + " >" + log + " 2>&1")
                                        .c_str()),
              .said = {}};
  ended.said = text_of(log);
  return ended;
}

}  // namespace thaw::test
