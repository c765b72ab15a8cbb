//! Libraries of others on twoply. This package is its tests, one file for each library; `README.md` lists
//! them.
