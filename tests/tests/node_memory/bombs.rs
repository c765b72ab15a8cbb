//! Terms that take much memory for their bytes, or promise to.

/// What takes the most memory for its bytes.
pub(crate) fn bombs() -> Vec<(&'static str, Vec<u8>)> {
    let n = 50_000u32;
    let head = |tag: u8, count: u32, rest: &[u8]| [&[131, tag], &count.to_be_bytes()[..], rest].concat();
    let repeat = |bytes: &[u8]| bytes.repeat(n as usize);
    let nested = (0..500).flat_map(|_| [&[108], &n.to_be_bytes()[..]].concat()).collect::<Vec<_>>();
    vec![
        ("240 GB in six bytes", vec![131, 108, 255, 255, 255, 255]),
        ("a list of nothings", head(108, n, &[repeat(&[106]), vec![106]].concat())),
        ("a tuple of nothings", head(105, n, &repeat(&[106]))),
        ("empty tuples", head(108, n, &[repeat(&[104, 0]), vec![106]].concat())),
        ("short atoms", head(108, n, &[repeat(&[119, 0]), vec![106]].concat())),
        ("short binaries", head(108, n, &[repeat(&[109, 0, 0, 0, 0]), vec![106]].concat())),
        ("lists of one", head(108, n, &[repeat(&[108, 0, 0, 0, 1, 106, 106]), vec![106]].concat())),
        ("strings of one", head(108, n, &[repeat(&[107, 0, 1, 1]), vec![106]].concat())),
        (
            "big integers",
            head(108, n, &[repeat(&[110, 9, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1]), vec![106]].concat()),
        ),
        ("functions", head(108, n, &[repeat(&[113, 119, 0, 119, 0, 97, 0]), vec![106]].concat())),
        ("counts that promise", [vec![131], nested, repeat(&[106])].concat()),
        ("a map that ends early", head(116, n, &repeat(&[106, 106])[..1000])),
        ("a long frame that ends early", vec![0, 15, 255, 255, 131, 68, 0]),
    ]
}
