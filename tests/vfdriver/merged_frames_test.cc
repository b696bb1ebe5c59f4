// SPDX-License-Identifier: Apache-2.0
#include "vfdriver/merged_frames.h"

#include <gtest/gtest.h>

#include "tests/vfdriver/ring_fixture.h"
#include "tests/vfdriver/temp_dir.h"
#include "vfdriver/frame_writer.h"

namespace vigia::vf {
namespace {

TEST(MergedFrames, FilesOfSeveralStreamsAreMergedAndTheirTroubleIsTold) {
  TempDir dir;
  std::filesystem::create_directories(dir / "raw");
  const auto write = [&](const char* name, const std::vector<std::uint64_t>& stamps) {
    auto out = must(create_capture_file(dir / "raw" / name, FileFormat::raw, {}));
    for (const std::uint64_t ns : stamps) out->write({Stamp::of_ns(ns), 60, frame_of(ns, 60)});
    ASSERT_TRUE(out->finish({}));
  };
  write("x@0-00000001.raw", {1, 4, 5});
  write("x@0-00000002.raw", {9});
  write("x@1-00000001.raw", {2, 3, 10, 11});
  write("x@2-00000001.raw", {});
  std::filesystem::resize_file(dir / "raw" / "x@1-00000001.raw", 4 * 72 - 5);  // its writer was killed
  auto reader = must(open_capture(dir / "raw"));
  EXPECT_EQ(reader->format(), "RAW directory of 4 files, 3 streams merged by time");
  std::vector<std::uint64_t> stamps;
  FrameView view;
  while (must(reader->next(view))) {
    EXPECT_TRUE(is_frame(view, view.stamp.total_ns()));
    stamps.push_back(view.stamp.total_ns());
  }
  EXPECT_EQ(stamps, (std::vector<std::uint64_t>{1, 2, 3, 4, 5, 9, 10}));
  EXPECT_EQ(reader->report().frames, 7u);
  EXPECT_EQ(reader->report().truncated_files, 1u);
  ASSERT_EQ(reader->report().remarks.size(), 1u);
  EXPECT_NE(reader->report().remarks[0].find("x@1-00000001.raw"), std::string::npos);
  EXPECT_GT(reader->report().read_bytes, 0u);
}

}  // namespace
}  // namespace vigia::vf
