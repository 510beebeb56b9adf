//! Real lines made wrong, the same ones each time: real packages hardly ever have errors.

/// What stands where something else should.
const ODD: [&str; 48] = [
    "-",
    "\"\"",
    "%",
    "%%",
    "%Q",
    "%m",
    "%S",
    "%t/x",
    "100%",
    "99999999999",
    "4294967295",
    "65535",
    "4294967294",
    "-1",
    "+5",
    "0x10",
    "08",
    "0o17",
    "~0755",
    ":~2755",
    "~:2755",
    "755x",
    "17777",
    "1a",
    "a.b",
    "a$",
    "_",
    "-a",
    "0",
    "\"",
    "'",
    "\"a b\"",
    "'a'b",
    "\\",
    "\\x20",
    "\\x2",
    "\\q",
    "a:b",
    ":",
    "5:",
    "/x",
    "/x/../y",
    "//x/./y/",
    "x/y",
    "ü",
    "#",
    ";",
    "=",
];

/// Characters that are put in between.
const SIGNS: &[u8] = b"\"'\\%:~-#;=[]+!^$? \t\r,.@/x7";

/// Numbers that look random (`SplitMix64`).
#[derive(Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn of(seed: &[u8]) -> Self {
        let fold = |hash: u64, &byte: &u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        Self(seed.iter().fold(0xcbf2_9ce4_8422_2325, fold))
    }

    /// A number below `end`, which is not 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let count = u64::try_from(end).unwrap_or(1);
        usize::try_from((bits ^ (bits >> 31)) % count).unwrap_or(0)
    }

    pub(crate) fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

/// A line with one or two things wrong, or not wrong but odd.
pub(crate) fn mutated(line: &str, random: &mut Random) -> Vec<u8> {
    let mut line = line.as_bytes().to_vec();
    for _ in 0..=random.below(2) {
        line = once(&line, random);
    }
    line
}

fn once(line: &[u8], random: &mut Random) -> Vec<u8> {
    let blank = |byte: &u8| byte.is_ascii_whitespace();
    let mut fields: Vec<Vec<u8>> = line
        .split(blank)
        .filter(|field| !field.is_empty())
        .map(<[u8]>::to_vec)
        .collect();
    if fields.is_empty() {
        return line.to_vec();
    }
    let (at, other) = (random.below(fields.len()), random.below(fields.len()));
    let mut text = line.to_vec();
    match random.below(9) {
        0 => fields.swap(at, other),
        1 | 2 => fields[at] = random.one_of(&ODD).as_bytes().to_vec(),
        3 => drop(fields.remove(at)),
        4 => fields.insert(at, random.one_of(&ODD).as_bytes().to_vec()),
        5 => fields.push(fields[at].clone()),
        6 => fields[at] = fields[at].repeat(40),
        7 => {
            text.insert(random.below(line.len() + 1), *random.one_of(SIGNS));
            return text;
        }
        _ => {
            text.remove(random.below(line.len()));
            return text;
        }
    }
    fields.join(&b' ')
}
