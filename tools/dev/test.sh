# test [OPTION...] [NAME...]: build and run the tests
#
# Without options: the quick tests. NAMEs (as meson test takes them) run only those.
#   --system  runs only the system test: the installed service on a booted systemd, in a container (as root)
#   --vm      runs only that of the emulated machine: what it does when memory is short (as root, x86-64; minutes)
#   --debian=NAME  the release of Debian that those two boot: bookworm (systemd 252, as always), trixie (257)
#   --all     adds the sanitizers' runs, 60 s of each fuzzer, valgrind, two storms of 500 clients (./dev storm), coverage,
#             --npu, and (as root) the system test, aarch64 under qemu-user, and the emulated machine: takes long
#   --ci      adds the style check, warnings as errors, the sanitizers' run, and 10 s of each fuzzer
#   --npu     adds the tests of backend npu-ort on an ONNX Runtime that is fetched (./dev npu)
#   --peers   adds the comparison of what gemd and llama.cpp write (./dev peers --check)
# GEM_DATA names a folder of real texts; tests that want it are skipped without.
# The last line is "N passed, N failed": subtests and steps over all runs.

. "$GEM_VERB_DIR/lib/results.sh"
. "$GEM_VERB_DIR/lib/suites.sh"
. "$GEM_VERB_DIR/lib/fuzz.sh"
. "$GEM_VERB_DIR/lib/system.sh"

all=no
system=no
vm=no
ci=no
peers=no npu=no
names=()
for argument in "$@"; do
  case $argument in
    --all) all=yes ;;
    --ci) ci=yes ;;
    --system) system=yes ;;
    --vm) vm=yes ;;
    --debian=bookworm | --debian=trixie) gem_system_release=${argument#*=} ;;
    --npu) npu=yes ;;
    --peers) peers=yes ;;
    -*) die_usage "test: no option '$argument'" ;;
    *) names+=("$argument") ;;
  esac
done

[ "$all" = no ] || export GEM_TEST_THOROUGH=1

if [ "$system" = yes ] || [ "$vm" = yes ]; then
  [ "$(id -u)" = 0 ] || die "test --system and --vm need root, to make and boot a system"
  if [ "$system" = yes ]; then
    ensure_needs build system
    test_suite_system
  fi
  if [ "$vm" = yes ]; then
    ensure_needs build vm
    test_suite_vm
  fi
elif [ "$ci" = yes ]; then
  ensure_needs build bus test format sanitize fuzz
  run_step "Style" "$GEM_SOURCE_DIR/dev" format --check
  test_suite_quick --werror
  test_suite_sanitize
  test_suite_fuzz 10
  can_boot_system && test_suite_system
else
  ensure_needs build bus test
  test_suite_quick ${names[@]+"${names[@]}"}
fi
if [ "$all" = yes ]; then
  npu=yes
  ensure_needs sanitize fuzz coverage
  test_suite_sanitize
  test_suite_fuzz 60
  ensure_needs valgrind
  test_suite_valgrind
  test_suite_sanitize_thread
  run_step "Storm: 500 clients for 60 s" "$GEM_SOURCE_DIR/dev" storm
  run_step "Storm: 500 clients, 50 kills" "$GEM_SOURCE_DIR/dev" storm --seconds 75 --kill 50
  run_step "Coverage" "$GEM_SOURCE_DIR/dev" coverage
  if [ "$(id -u)" = 0 ]; then
    ensure_needs system
    test_suite_system
    ensure_needs vm
    test_suite_vm
    run_step "aarch64 under qemu-user" "$GEM_SOURCE_DIR/dev" arm64
  else
    say "== aarch64 under qemu-user: left out, as the system test, since making their roots needs root"
  fi
fi
[ "$npu" = no ] || run_step "Pathways on ONNX Runtime" "$GEM_SOURCE_DIR/dev" npu
[ "$peers" = no ] || run_step "The same tokens as llama.cpp" "$GEM_SOURCE_DIR/dev" peers --check
report_results
