//! Places for entries under small, stable indexes, in chunks that are freed after a burst.

use std::ops::{Index, IndexMut};

/// Slots in a chunk: as many as a word has bits.
const CHUNK: usize = u64::BITS as usize;

/// Entries in chunks of slots. Nothing moves when it grows, so no insertion copies the whole.
///
/// New entries go to the first chunk that has room, so that after a burst the later chunks run
/// empty as their entries leave. A chunk that runs empty is freed, unless the others have less
/// than a chunk of free slots: a number of entries that swings around a multiple of [`CHUNK`]
/// allocates nothing.
#[derive(Debug)]
pub(crate) struct Slab<E> {
    chunks: Vec<Option<Box<Chunk<E>>>>,
    /// One bit for each chunk: it is allocated and has a free slot.
    room: Vec<u64>,
    /// All words of `room` before this one are zero.
    room_from: usize,
    /// Positions in `chunks` that are `None`.
    released: Vec<usize>,
    len: usize,
}

#[derive(Debug)]
struct Chunk<E> {
    /// One bit for each slot: it is `None`.
    free: u64,
    slots: [Option<E>; CHUNK],
}

impl<E> Slab<E> {
    pub(crate) fn new() -> Self {
        Self { chunks: Vec::new(), room: Vec::new(), room_from: 0, released: Vec::new(), len: 0 }
    }

    /// Stores an entry. The index is its own until it is removed, and below 2^31.
    pub(crate) fn insert(&mut self, entry: E) -> u32 {
        let position = self.chunk_with_room().unwrap_or_else(|| self.allocate());
        let chunk = chunk(self.chunks[position].as_mut());
        let slot = chunk.free.trailing_zeros();
        chunk.slots[slot as usize] = Some(entry);
        chunk.free &= !(1 << slot);
        if chunk.free == 0 {
            self.room[position / CHUNK] &= !(1 << (position % CHUNK));
        }
        self.len += 1;
        let index = position * CHUNK + slot as usize;
        i32::try_from(index).expect("2^31 entries do not fit into memory").cast_unsigned()
    }

    /// Takes out the entry at an index that is in use.
    pub(crate) fn remove(&mut self, index: u32) -> E {
        let (position, slot) = split(index);
        let chunk = chunk(self.chunks[position].as_mut());
        let entry = chunk.slots[slot].take().expect("the index is in use");
        chunk.free |= 1 << slot;
        let is_empty = chunk.free == u64::MAX;
        self.len -= 1;
        let bit = 1 << (position % CHUNK);
        if is_empty && self.capacity() - self.len >= 2 * CHUNK {
            self.chunks[position] = None;
            self.released.push(position);
            self.room[position / CHUNK] &= !bit;
        } else {
            self.room[position / CHUNK] |= bit;
            self.room_from = self.room_from.min(position / CHUNK);
        }
        entry
    }

    /// All entries, in the order of their indexes.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &E> {
        self.chunks.iter().flatten().flat_map(|chunk| chunk.slots.iter().flatten())
    }

    /// The number of entries.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The number of slots in allocated chunks.
    fn capacity(&self) -> usize {
        (self.chunks.len() - self.released.len()) * CHUNK
    }

    /// The bytes allocated on the heap.
    #[cfg(test)]
    pub(crate) fn heap_bytes(&self) -> usize {
        self.capacity() / CHUNK * size_of::<Chunk<E>>()
            + self.chunks.capacity() * size_of::<Option<Box<Chunk<E>>>>()
            + self.room.capacity() * size_of::<u64>()
            + self.released.capacity() * size_of::<usize>()
    }

    fn chunk_with_room(&mut self) -> Option<usize> {
        loop {
            match self.room.get(self.room_from)? {
                0 => self.room_from += 1,
                word => return Some(self.room_from * CHUNK + word.trailing_zeros() as usize),
            }
        }
    }

    fn allocate(&mut self) -> usize {
        let position = self.released.pop().unwrap_or_else(|| {
            self.chunks.push(None);
            self.chunks.len() - 1
        });
        self.chunks[position] =
            Some(Box::new(Chunk { free: u64::MAX, slots: [const { None }; CHUNK] }));
        let word = position / CHUNK;
        if word == self.room.len() {
            self.room.push(0);
        }
        self.room[word] |= 1 << (position % CHUNK);
        self.room_from = self.room_from.min(word);
        position
    }
}

impl<E> Index<u32> for Slab<E> {
    type Output = E;

    fn index(&self, index: u32) -> &E {
        let (position, slot) = split(index);
        chunk(self.chunks[position].as_ref()).slots[slot].as_ref().expect("the index is in use")
    }
}

impl<E> IndexMut<u32> for Slab<E> {
    fn index_mut(&mut self, index: u32) -> &mut E {
        let (position, slot) = split(index);
        chunk(self.chunks[position].as_mut()).slots[slot].as_mut().expect("the index is in use")
    }
}

fn chunk<C>(chunk: Option<C>) -> C {
    chunk.expect("a chunk in use is allocated")
}

fn split(index: u32) -> (usize, usize) {
    (index as usize / CHUNK, index as usize % CHUNK)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(len: usize) -> (Slab<usize>, Vec<u32>) {
        let mut slab = Slab::new();
        let indexes = (0..len).map(|entry| slab.insert(entry)).collect();
        (slab, indexes)
    }

    #[test]
    fn each_index_keeps_its_entry() {
        let (mut slab, indexes) = filled(1000);
        for (entry, index) in indexes.iter().enumerate() {
            assert_eq!(slab[*index], entry);
            slab[*index] += 1000;
        }
        for (entry, index) in indexes.iter().enumerate().step_by(3) {
            assert_eq!(slab.remove(*index), entry + 1000);
        }
        assert_eq!(slab.len(), 666);
        for (entry, index) in indexes.iter().enumerate().filter(|(entry, _)| entry % 3 != 0) {
            assert_eq!(slab[*index], entry + 1000);
        }
    }

    #[test]
    fn the_first_chunk_with_room_is_filled_first() {
        let (mut slab, indexes) = filled(300 * CHUNK);
        for index in [19_000, 70, 8_000] {
            assert_eq!(slab.remove(indexes[index]), index);
        }
        assert_eq!([0; 3].map(|entry| slab.insert(entry)), [70, 8_000, 19_000]);
        assert_eq!(slab.insert(0) as usize, 300 * CHUNK);
    }

    #[test]
    fn chunks_are_freed_after_a_burst_and_allocated_again() {
        let (mut slab, indexes) = filled(1000 * CHUNK);
        let burst = slab.heap_bytes();
        for index in indexes.iter().skip(10) {
            slab.remove(*index);
        }
        assert_eq!(slab.capacity(), 2 * CHUNK);
        assert!(slab.heap_bytes() < burst / 20, "{} of {burst} bytes are left", slab.heap_bytes());
        for entry in 10..indexes.len() {
            slab.insert(entry);
        }
        assert_eq!((slab.len(), slab.capacity()), (1000 * CHUNK, 1000 * CHUNK));
        assert_eq!(slab.heap_bytes(), burst + slab.released.capacity() * size_of::<usize>());
        assert_eq!(slab[indexes[5]], 5);
    }

    #[test]
    fn a_number_that_swings_around_a_full_chunk_frees_nothing() {
        let (mut slab, _) = filled(3 * CHUNK);
        for _ in 0..3 {
            let index = slab.insert(0);
            assert_eq!(slab.capacity(), 4 * CHUNK);
            slab.remove(index);
            assert_eq!(slab.capacity(), 4 * CHUNK);
        }
    }
}
