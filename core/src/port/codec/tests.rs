//! Each codec makes the same of an input however that is cut, and passes over what is too long.

use super::*;

/// The items and errors that a decoder makes of an input, in order.
type Made<T> = Vec<Result<T, CodecError>>;

/// Feeds `input` to `decoder` in pieces that end at `cuts`, as a port would.
fn decode<D: Decoder<Error = CodecError>>(mut decoder: D, input: &[u8], cuts: &[usize]) -> Made<D::Item> {
    let (mut buf, mut made, mut from) = (Buffer::new(), Vec::new(), 0);
    for cut in cuts.iter().copied().chain([input.len()]) {
        buf.put_slice(&input[from..cut]);
        from = cut;
        while let Some(next) = decoder.decode(&mut buf).transpose() {
            made.push(next);
        }
        assert!(buf.len() <= decoder.most_buffered(), "{} bytes are kept", buf.len());
    }
    while let Some(next) = decoder.decode_eof(&mut buf).transpose() {
        made.push(next);
    }
    made
}

/// A generator of numbers below `bound`; xorshift.
fn below(state: &mut u64, bound: usize) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    (*state % bound as u64) as usize
}

/// Checks that the way in which an input is cut changes nothing of what comes out.
fn is_the_same_for_each_cut<D>(decoder: impl Fn() -> D, input: &[u8])
where
    D: Decoder<Error = CodecError, Item: PartialEq + std::fmt::Debug>,
{
    let whole = decode(decoder(), input, &[]);
    let bytewise: Vec<usize> = (0..input.len()).collect();
    assert_eq!(decode(decoder(), input, &bytewise), whole);
    for cut in 0..=input.len() {
        assert_eq!(decode(decoder(), input, &[cut]), whole, "cut at {cut}");
    }
    let mut seed = 0x9e37_79b9_7f4a_7c15;
    for _ in 0..200 {
        let pieces = below(&mut seed, 8);
        let mut cuts: Vec<usize> = (0..pieces).map(|_| below(&mut seed, input.len() + 1)).collect();
        cuts.sort_unstable();
        assert_eq!(decode(decoder(), input, &cuts), whole, "cut at {cuts:?}");
    }
}

#[test]
fn lines_are_the_same_for_each_cut() {
    let input = b"one\r\n\nthree\ntoo long a line\n\xff\xfe\nalso too long\r\nsix\r\nlast\r";
    is_the_same_for_each_cut(|| Lines::new().maximum(6), input);
    let too_long = || Err(CodecError::NoDelimiter { maximum: 6 });
    let text = |line: &str| Ok(line.to_owned());
    let broken = Err(CodecError::NotUtf8 { line: vec![0xff, 0xfe] });
    let wanted =
        [text("one"), text(""), text("three"), too_long(), broken, too_long(), text("six"), text("last")];
    assert_eq!(decode(Lines::new().maximum(6), input, &[]), wanted);
}

#[test]
fn a_line_that_is_too_long_is_passed_over_also_at_the_end() {
    let input = b"one\nlonger than that";
    is_the_same_for_each_cut(|| Lines::new().maximum(3), input);
    assert_eq!(decode(Lines::new().maximum(3), input, &[8, 12]).len(), 2);
}

#[test]
fn delimited_items_are_the_same_for_each_cut() {
    let input = b"a--->b-->c----->too long for this-->--->d-";
    is_the_same_for_each_cut(|| Delimited::new("-->").maximum(5), input);
    let made = decode(Delimited::new("-->").maximum(5), input, &[]);
    let items: Vec<_> = made.into_iter().map(|item| item.unwrap_or_else(|_| b"!".to_vec())).collect();
    assert_eq!(items, [&b"a-"[..], b"b", b"c---", b"!", b"-", b"d-"]);
}

/// All forms of a prefix.
fn all_frames() -> Vec<Frames> {
    let prefixes = [Prefix::U8, Prefix::U16, Prefix::U32, Prefix::U64, Prefix::Varint];
    let both = |prefix| [Frames::new(prefix), Frames::new(prefix).little_endian()];
    prefixes.into_iter().flat_map(both).collect()
}

#[test]
fn frames_are_the_same_for_each_cut() {
    for codec in all_frames() {
        let mut buf = Buffer::new();
        let items = [&b"one"[..], b"", b"a frame that is above the maximum", b"three", &[0xff; 12]];
        for item in items {
            codec.clone().encode(item, &mut buf).unwrap();
        }
        let codec = codec.maximum(12);
        is_the_same_for_each_cut(|| codec.clone(), &buf);
        let made = decode(codec, &buf, &[]);
        assert_eq!(made[2], Err(CodecError::FrameTooLong { length: 33, maximum: 12 }));
        let kept: Vec<_> = made.into_iter().flatten().collect();
        assert_eq!(kept, [&b"one"[..], b"", b"three", &[0xff; 12]]);
    }
}

#[test]
fn a_length_alone_takes_no_memory() {
    let mut buf = Buffer::new();
    buf.put_slice(&u64::from(u32::MAX).to_be_bytes());
    let mut codec = Frames::new(Prefix::U64).maximum(u32::MAX as usize);
    assert_eq!(codec.decode(&mut buf), Ok(None));
    assert!(buf.capacity() < 1 << 20);
}

#[test]
fn a_frame_of_any_announced_length_is_passed_over() {
    let mut buf = Buffer::new();
    buf.put_slice(&u64::MAX.to_le_bytes());
    let mut codec = Frames::new(Prefix::U64).little_endian();
    let error = codec.decode(&mut buf).unwrap_err();
    assert_eq!(error.to_string(), format!("a frame of {} bytes, where 8388608 is the most", u64::MAX));
    buf.put_slice(&[7; 1000]);
    assert_eq!(codec.decode(&mut buf), Ok(None));
    assert!(buf.is_empty());
}

#[test]
fn a_varint_has_64_bits_at_most() {
    let mut longest = vec![0xff; 9];
    longest.push(1);
    assert_eq!(frames::Frames::new(Prefix::Varint).decode(&mut Buffer::from(longest)).unwrap_err(), {
        CodecError::FrameTooLong { length: u64::MAX, maximum: 8 << 20 }
    });
    let mut buf = Buffer::from(vec![0xff; 10]);
    assert_eq!(Frames::new(Prefix::Varint).decode(&mut buf), Err(CodecError::BadLength));
    assert_eq!(buf.len(), 10, "it says by this that it cannot go on");
}

#[test]
fn a_frame_that_its_prefix_cannot_tell_of_is_refused() {
    let mut buf = Buffer::new();
    let error = Frames::new(Prefix::U8).encode([0; 256], &mut buf).unwrap_err();
    assert_eq!(error, CodecError::FrameTooLong { length: 256, maximum: 255 });
    Frames::new(Prefix::U8).encode([0; 255], &mut buf).unwrap();
    assert_eq!(buf.len(), 256);
}

/// A codec whose items have memory of their own, with the one that shares it: each item has to be the same.
struct Both<A, B> {
    own: A,
    shared: B,
    /// The bytes of the shared one, which has a buffer of its own.
    buf: Buffer,
    /// The number of bytes that it has been fed with, and that the other has not taken out.
    fed: usize,
}

impl<A, B> Both<A, B> {
    fn new(own: A, shared: B) -> Both<A, B> {
        Both { own, shared, buf: Buffer::new(), fed: 0 }
    }

    fn step<I: AsRef<[u8]>, J: AsRef<[u8]>>(
        &mut self,
        buf: &mut Buffer,
        own: impl FnOnce(&mut A, &mut Buffer) -> Result<Option<I>, CodecError>,
        shared: impl FnOnce(&mut B, &mut Buffer) -> Result<Option<J>, CodecError>,
    ) -> Result<Option<Vec<u8>>, CodecError> {
        self.buf.put_slice(&buf[self.fed..]);
        let bytes = own(&mut self.own, buf).map(|item| item.map(|item| item.as_ref().to_vec()));
        let others = shared(&mut self.shared, &mut self.buf);
        assert_eq!(others.map(|item| item.map(|item| item.as_ref().to_vec())), bytes);
        assert_eq!(self.buf[..], buf[..]);
        self.fed = buf.len();
        bytes
    }
}

impl<A, B> Decoder for Both<A, B>
where
    A: Decoder<Item: AsRef<[u8]>, Error = CodecError>,
    B: Decoder<Item: AsRef<[u8]>, Error = CodecError>,
{
    type Item = Vec<u8>;
    type Error = CodecError;

    fn decode(&mut self, buf: &mut Buffer) -> Result<Option<Vec<u8>>, CodecError> {
        self.step(buf, A::decode, B::decode)
    }

    fn decode_eof(&mut self, buf: &mut Buffer) -> Result<Option<Vec<u8>>, CodecError> {
        self.step(buf, A::decode_eof, B::decode_eof)
    }

    fn most_buffered(&self) -> usize {
        assert_eq!(self.own.most_buffered(), self.shared.most_buffered());
        self.own.most_buffered()
    }
}

#[test]
fn items_that_share_memory_are_those_that_have_their_own() {
    let lines = Lines::new().maximum(6);
    let input = b"one\r\n\nthree\ntoo long a line\n\xff\xfe\nsix\r\nlast\r";
    is_the_same_for_each_cut(|| Both::new(lines.clone(), lines.clone().shared()), input);
    let parts = Delimited::new("-->").maximum(5);
    let input = b"a--->b-->c----->too long for this-->--->d-";
    is_the_same_for_each_cut(|| Both::new(parts.clone(), parts.clone().shared()), input);
    for frames in all_frames() {
        let mut buf = Buffer::new();
        for item in [&b"one"[..], b"", b"a frame that is above the maximum", b"three"] {
            // Encoded by the one, and decoded by both.
            frames.clone().shared().encode(item, &mut buf).unwrap();
        }
        let frames = frames.maximum(12);
        is_the_same_for_each_cut(|| Both::new(frames.clone(), frames.clone().shared()), &buf);
    }
}

#[test]
fn what_is_taken_out_to_share_stays_as_it_was() {
    let mut seed = 7;
    let (mut buf, mut model, mut kept) = (Buffer::new(), Vec::new(), Vec::new());
    for step in 0..20_000 {
        // Seldom a long one: that has memory of its own.
        let count = below(&mut seed, if step % 16 == 0 { 9_000 } else { 200 });
        match below(&mut seed, 16) {
            0..7 => {
                let bytes = vec![step as u8; count];
                buf.put_slice(&bytes);
                model.extend(bytes);
            }
            7..14 => {
                let count = count.min(model.len());
                let wanted: Vec<u8> = model.drain(..count).collect();
                kept.push((buf.take_shared(count), wanted));
            }
            14 => {
                let count = count.min(model.len());
                buf.advance(count);
                model.drain(..count);
            }
            _ if step % 3 == 0 => {
                buf.truncate(count);
                model.truncate(count);
            }
            _ if step % 3 == 1 && !model.is_empty() => {
                let at = count % model.len();
                (buf[at], model[at]) = (!model[at], !model[at]);
            }
            _ => _ = buf.shrink(),
        }
        assert_eq!(&buf[..], model);
    }
    for (bytes, wanted) in kept {
        assert_eq!(bytes, wanted);
        assert!(bytes.shares() <= 4 << 10, "{} bytes of others are kept", bytes.shares());
    }
}

#[test]
fn a_buffer_with_nothing_in_it_keeps_no_memory_for_what_was_taken_out() {
    let mut buf = Buffer::from(b"one two three".to_vec());
    let (one, _) = (buf.take_shared(3), buf.advance(1));
    let two = buf.take_shared(3);
    assert_eq!(one.owners(), 3, "they are in one block, and the rest of it is to come");
    buf.clear();
    assert_eq!(one.owners(), 2);
    drop(two);
    assert_eq!(one.owners(), 1);
    assert_eq!(one.part(1..3), b"ne");
    assert!(std::panic::catch_unwind(|| one.part(1..4)).is_err(), "what lies behind it is of others");
}

#[test]
fn a_buffer_keeps_what_is_in_it_as_it_grows() {
    let mut buf = Buffer::new();
    let mut model = Vec::new();
    let mut seed = 42;
    for step in 0..10_000 {
        let count = below(&mut seed, 100);
        if below(&mut seed, 2) == 0 {
            let bytes = vec![step as u8; count];
            buf.put_slice(&bytes);
            model.extend(bytes);
        } else {
            let count = count.min(buf.len());
            assert_eq!(buf.take(count), model.drain(..count).collect::<Vec<_>>());
        }
        assert_eq!(&buf[..], model);
    }
    let large = buf.shrink();
    assert!(large.is_empty() && buf.capacity() == buf.len() && buf[..] == model);
}
