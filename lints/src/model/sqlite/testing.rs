//! Databases for tests, as SQLite would write them: a table in pages of any size. It shares nothing with the reader, and
//! tests/memory.rs has it too.

const FILE_HEADER: usize = 100;
const INTERIOR: u8 = 5;
const LEAF: u8 = 13;

/// A database that is being written.
pub(crate) struct Written {
    size: usize,
    pages: Vec<Vec<u8>>,
}

impl Written {
    /// A database of a table with two columns: a key, and bytes.
    pub(crate) fn with(size: usize, table: &str, rows: &[(u64, Vec<u8>)]) -> Vec<u8> {
        let mut database = Self {
            size,
            pages: vec![Vec::new()],
        };
        let root = database.table(rows);
        let sql = format!("CREATE TABLE '{table}' (hnum INTEGER PRIMARY KEY, blob BLOB NOT NULL)");
        let texts = [b"table", table.as_bytes(), table.as_bytes()];
        let mut header: Vec<u8> = texts.iter().flat_map(|text| text_type(text)).collect();
        header.push(4);
        header.extend(text_type(sql.as_bytes()));
        let content = [
            texts.concat(),
            root.to_be_bytes().to_vec(),
            sql.into_bytes(),
        ]
        .concat();
        let cell = database.cell(1, &record(&header, &content));
        database.pages[0] = database.page(LEAF, FILE_HEADER, &[cell], None);
        database.bytes()
    }

    fn bytes(mut self) -> Vec<u8> {
        let count = u32::try_from(self.pages.len()).expect("few pages");
        let header = &mut self.pages[0][..FILE_HEADER];
        header[..16].copy_from_slice(b"SQLite format 3\0");
        let size = u16::try_from(self.size).unwrap_or(1);
        header[16..18].copy_from_slice(&size.to_be_bytes());
        header[18..24].copy_from_slice(&[1, 1, 0, 64, 32, 32]);
        header[28..32].copy_from_slice(&count.to_be_bytes());
        header[56..60].copy_from_slice(&1_u32.to_be_bytes());
        self.pages.concat()
    }

    fn add(&mut self, page: Vec<u8>) -> u32 {
        self.pages.push(page);
        u32::try_from(self.pages.len()).expect("few pages")
    }

    /// Writes a table; returns its root.
    fn table(&mut self, rows: &[(u64, Vec<u8>)]) -> u32 {
        let mut cells = Vec::new();
        for (key, blob) in rows {
            let serial = number(blob.len() as u64 * 2 + 12);
            let record = record(&[vec![0], serial].concat(), blob);
            cells.push((*key, self.cell(*key, &record)));
        }
        let mut level = self.level(LEAF, &cells);
        while level.len() > 1 {
            let cell = |(key, page): &(u64, u32)| {
                let cell = [page.to_be_bytes().to_vec(), number(*key)].concat();
                (*key, cell)
            };
            let cells: Vec<_> = level.iter().map(cell).collect();
            level = self.level(INTERIOR, &cells);
        }
        level[0].1
    }

    /// Writes the pages of a level; returns the last key of each with its number.
    fn level(&mut self, kind: u8, cells: &[(u64, Vec<u8>)]) -> Vec<(u64, u32)> {
        let mut level = Vec::new();
        let mut rest = cells;
        loop {
            let mut room = self.size - 12;
            let fits = |(_, cell): &&(u64, Vec<u8>)| {
                let left = room.checked_sub(cell.len() + 2);
                room = left.unwrap_or(0);
                left.is_some()
            };
            let count = rest.iter().take_while(fits).count();
            let (here, behind) = rest.split_at(count);
            let mut bytes: Vec<Vec<u8>> = here.iter().map(|(_, cell)| cell.clone()).collect();
            let last = (kind == INTERIOR).then(|| bytes.pop()).flatten();
            let page = self.page(kind, 0, &bytes, last.as_deref());
            let key = here.last().map_or(0, |(key, _)| *key);
            level.push((key, self.add(page)));
            rest = behind;
            if rest.is_empty() {
                return level;
            }
        }
    }

    fn page(&self, kind: u8, start: usize, cells: &[Vec<u8>], last: Option<&[u8]>) -> Vec<u8> {
        let mut page = vec![0; self.size];
        let mut end = self.size;
        let mut places = Vec::new();
        for cell in cells {
            end -= cell.len();
            page[end..end + cell.len()].copy_from_slice(cell);
            places.extend(u16::try_from(end).expect("a page").to_be_bytes());
        }
        let count = u16::try_from(cells.len()).expect("few cells").to_be_bytes();
        let place = u16::try_from(end).unwrap_or(0).to_be_bytes();
        let mut header = vec![kind, 0, 0, count[0], count[1], place[0], place[1], 0];
        header.extend(last.map_or(&[][..], |cell| &cell[..4]));
        header.extend(places);
        page[start..start + header.len()].copy_from_slice(&header);
        page
    }

    /// The cell of a row, whose further bytes go to pages of their own, the last one first.
    fn cell(&mut self, key: u64, record: &[u8]) -> Vec<u8> {
        let most = self.size - 35;
        let least = (self.size - 12) * 32 / 255 - 23;
        let local = match record.len() {
            size if size <= most => size,
            size => match least + (size - least) % (self.size - 4) {
                some if some <= most => some,
                _ => least,
            },
        };
        let (local, rest) = record.split_at(local);
        let mut cell = [number(record.len() as u64), number(key), local.to_vec()].concat();
        let mut next = 0;
        for chunk in rest.chunks(self.size - 4).rev() {
            let mut page = [&u32::to_be_bytes(next), chunk].concat();
            page.resize(self.size, 0);
            next = self.add(page);
        }
        if next != 0 {
            cell.extend(next.to_be_bytes());
        }
        cell
    }
}

fn text_type(text: &[u8]) -> Vec<u8> {
    number(text.len() as u64 * 2 + 13)
}

fn record(types: &[u8], content: &[u8]) -> Vec<u8> {
    let size = u8::try_from(types.len() + 1).expect("a short header");
    assert!(size < 0x80, "a short header");
    [&[size], types, content].concat()
}

fn number(value: u64) -> Vec<u8> {
    let mut bytes = vec![u8::try_from(value & 0x7f).expect("seven bits")];
    let mut rest = value >> 7;
    while rest != 0 {
        bytes.insert(0, u8::try_from(rest & 0x7f).expect("seven bits") | 0x80);
        rest >>= 7;
    }
    bytes
}
