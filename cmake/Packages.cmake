# lp_packages: libraries that come with the distribution (tools/setup.sh installs them).

find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(CLI11 REQUIRED)
find_package(Eigen3 REQUIRED NO_MODULE)
find_package(Protobuf REQUIRED)
find_package(JPEG REQUIRED)
find_package(PNG REQUIRED)
find_package(GIF REQUIRED)
pkg_check_modules(TIFF REQUIRED IMPORTED_TARGET libtiff-4>=4.5)
pkg_check_modules(WEBP REQUIRED IMPORTED_TARGET libwebp libwebpdemux libwebpmux)
pkg_check_modules(EXIF REQUIRED IMPORTED_TARGET libexif)
pkg_check_modules(PCRE2 REQUIRED IMPORTED_TARGET libpcre2-8 libpcre2-32)
pkg_check_modules(MICROHTTPD REQUIRED libmicrohttpd) # src/serve/server.cc alone

add_library(lp_packages INTERFACE)
target_link_libraries(lp_packages INTERFACE fmt::fmt nlohmann_json::nlohmann_json Eigen3::Eigen
  JPEG::JPEG PNG::PNG GIF::GIF PkgConfig::TIFF PkgConfig::WEBP PkgConfig::EXIF PkgConfig::PCRE2
  Threads::Threads)

# src/hub alone: checkpoints from a hub by name (hf:ORG/NAME). Headers only: libcurl is opened when it is needed.
set(LORAPRESS_HUB_ENDPOINT "" CACHE STRING "Address of the hub where HF_ENDPOINT is not set, as in https://HOST")
find_path(LORAPRESS_CURL_INCLUDE curl/curl.h REQUIRED)
