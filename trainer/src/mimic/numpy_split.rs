//! The split of scikit-learn's `train_test_split`: which places are for testing, as `numpy`'s generator of 2011 shuffles them.
//!
//! The authors split their pretraining notes with it, so the same notes in the same order fall on the same sides. The
//! generator is MT19937 (Matsumoto and Nishimura 1998); numbers up to a bound are drawn by masking and rejecting.

/// Places `0..count` that are for testing: the first `test_count` of a shuffled list.
pub(super) fn test_places(count: usize, test_count: usize, seed: u32) -> Vec<bool> {
    let mut random = Mt19937::new(seed);
    let mut order: Vec<u32> =
        (0..u32::try_from(count).expect("a corpus has fewer than 2^32 notes")).collect();
    for last in (1..order.len()).rev() {
        let bound = u32::try_from(last).expect("below the count");
        order.swap(last, random.up_to(bound) as usize);
    }
    let mut is_test = vec![false; count];
    for place in &order[..test_count] {
        is_test[*place as usize] = true;
    }
    is_test
}

const WORDS: usize = 624;
const SHIFT: usize = 397;

struct Mt19937 {
    state: [u32; WORDS],
    next: usize,
}

impl Mt19937 {
    fn new(seed: u32) -> Self {
        let mut state = [seed; WORDS];
        for i in 1..WORDS {
            let before = state[i - 1];
            let place = u32::try_from(i).expect("below 624");
            state[i] = 1_812_433_253_u32.wrapping_mul(before ^ (before >> 30)).wrapping_add(place);
        }
        Self { state, next: WORDS }
    }

    fn draw(&mut self) -> u32 {
        if self.next == WORDS {
            self.turn();
        }
        let mut y = self.state[self.next];
        self.next += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9D2C_5680;
        y ^= (y << 15) & 0xEFC6_0000;
        y ^ (y >> 18)
    }

    fn turn(&mut self) {
        for i in 0..WORDS {
            let y = (self.state[i] & 0x8000_0000) | (self.state[(i + 1) % WORDS] & 0x7FFF_FFFF);
            let odd = if y & 1 == 1 { 0x9908_B0DF } else { 0 };
            self.state[i] = self.state[(i + SHIFT) % WORDS] ^ (y >> 1) ^ odd;
        }
        self.next = 0;
    }

    /// A number in `0..=bound`, each as likely.
    fn up_to(&mut self, bound: u32) -> u32 {
        let mask = u32::MAX >> bound.leading_zeros();
        loop {
            let value = self.draw() & mask;
            if value <= bound {
                return value;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shuffle_is_that_of_numpy() {
        // numpy.random.RandomState(1234).permutation(1000)[:100], as the sum of the places and of their squares
        let test = test_places(1000, 100, 1234);
        let places: Vec<usize> = (0..1000).filter(|place| test[*place]).collect();
        assert_eq!(places.len(), 100);
        assert_eq!(places[..8], [21, 29, 40, 60, 78, 89, 99, 108]);
        assert_eq!(
            (places.iter().sum::<usize>(), places.iter().map(|p| p * p).sum::<usize>()),
            (52_218, 35_211_274)
        );
    }
}
